"""Critic-CoT on a scripted model."""

from tirage.agents.explorer import SolveContext
from tirage.agents.search_options import SearchOptions
from tirage.core.budget import Budget
from tirage.core.problem import Problem
from tirage.models.base import Sampling
from tirage.systems.critic_cot import (
    CriticFilter,
    CriticRefinement,
    build_filter,
    build_refinement,
)
from tirage.systems.parts import AgentParts

BUILD = {CriticFilter: build_filter, CriticRefinement: build_refinement}
PROBLEM = Problem(prompt="What is 2 + 3 * 4?", answer="nonce-0815", metadata={"solution": "nonce-0815"})


async def perform(model, workflow=CriticFilter, *, budget=None, **options):
    agent = BUILD[workflow](
        AgentParts(model=model, sampling=Sampling(temperature=0.7), search_options=SearchOptions(budget=budget or Budget())), **options
    )
    return await agent.solve(PROBLEM, SolveContext(seed=3))


STEPS = "Step 1: 3 * 4 = 12.\nStep 2: 2 + 12 = 15.\nStep 3: So \\boxed{15}.\n"
