"""A well-behaved server made with the official SDK, over stdio, or over HTTP with a port and a token as arguments."""

import asyncio
import sys

import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

server = MCPServer("good", log_level="CRITICAL")
calls = 0


class Point(BaseModel):
    x: int
    y: int


@server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


@server.tool()
def count() -> str:
    """How often this was called."""
    global calls
    calls += 1
    return str(calls)


@server.tool()
def point() -> Point:
    """A point."""
    return Point(x=1, y=2)


@server.tool()
def fail() -> str:
    """Fails."""
    raise ValueError("no such file: x.txt")


@server.tool(name="look.around")
def look() -> list[types.ContentBlock]:
    """Pictures and resources."""
    return [
        types.TextContent(text="three things"),
        types.ImageContent(data="aGVsbG8=", mime_type="image/png"),
        types.ResourceLink(name="log", uri="file:///log.txt"),
        types.EmbeddedResource(resource=types.TextResourceContents(uri="note:1", text="remember")),
        types.EmbeddedResource(resource=types.BlobResourceContents(uri="note:2", blob="AAAA", mime_type="image/gif")),
    ]


@server.tool()
async def sleep(seconds: float) -> str:
    """Take long."""
    await asyncio.sleep(seconds)
    return "slept"


@server.tool()
async def chatty(ctx: Context, notes: int) -> str:
    """Report progress all the time."""
    for number in range(notes):
        await ctx.report_progress(number, notes)
    return "done"


@server.tool()
def much() -> str:
    """Megabytes of text."""
    return "x" * 3_000_000


class Guarded:
    def __init__(self, app: object, token: str) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope, receive, send) -> None:
        given = dict(scope.get("headers", ())).get(b"authorization", b"").decode()
        if scope["type"] == "http" and given != f"Bearer {self.token}":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, send)  # type: ignore[operator]


if __name__ == "__main__":
    if len(sys.argv) == 1:
        server.run()
    else:
        import uvicorn

        uvicorn.run(Guarded(server.streamable_http_app(), sys.argv[2]), port=int(sys.argv[1]), log_level="warning")
