"""Floor 8: how good is it, and how sure are we."""

from tirage.evaluation.compare import compare_runs, read_stage
from tirage.evaluation.gain import Gain, split_gain
from tirage.evaluation.gate import Decision, Ruling, decide
from tirage.evaluation.improvement import Context, build_improvement_report, sampling_yield
from tirage.evaluation.intervals import Interval, clustered_bootstrap, mean_interval, wilson
from tirage.evaluation.metrics import Accuracy, AtK, accuracy, best_at_k, maj_at_k, pass_at_k, per_problem, tool_rate, verified_yield
from tirage.evaluation.outcomes import Outcome, by_stage, outcome_of, read_leaf_outcomes, read_outcomes
from tirage.evaluation.paired import Paired, compare_paired, mcnemar_exact, sign_flip
from tirage.evaluation.reports.html import render_html
from tirage.evaluation.reports.report import Part, Report, Section, Timing, Yield, from_plain, to_plain
from tirage.evaluation.reports.storage import read_report, write_report
from tirage.evaluation.reports.tables import print_report
from tirage.evaluation.summary import Measuring, Summary, summarise
from tirage.evaluation.toolsets import Selection, ToolTrial, optimise
from tirage.verification.answer_keys import AnswerKey, number_key, text_key

__all__ = [
    "Accuracy",
    "AnswerKey",
    "AtK",
    "Context",
    "Decision",
    "Gain",
    "Interval",
    "Measuring",
    "Outcome",
    "Paired",
    "Part",
    "Report",
    "Ruling",
    "Section",
    "Selection",
    "Summary",
    "Timing",
    "ToolTrial",
    "Yield",
    "accuracy",
    "best_at_k",
    "build_improvement_report",
    "by_stage",
    "clustered_bootstrap",
    "compare_paired",
    "compare_runs",
    "decide",
    "from_plain",
    "maj_at_k",
    "mcnemar_exact",
    "mean_interval",
    "number_key",
    "optimise",
    "outcome_of",
    "pass_at_k",
    "per_problem",
    "print_report",
    "read_leaf_outcomes",
    "read_outcomes",
    "read_report",
    "read_stage",
    "render_html",
    "sampling_yield",
    "sign_flip",
    "split_gain",
    "summarise",
    "text_key",
    "to_plain",
    "tool_rate",
    "verified_yield",
    "wilson",
    "write_report",
]
