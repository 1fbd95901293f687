"""Tools of Model Context Protocol servers: any `mcpServers` file is a toolset."""

from tirage.tools.mcp.servers import Address, Program, read_servers
from tirage.tools.mcp.tool import McpTool, mcp_tools

__all__ = ["Address", "McpTool", "Program", "mcp_tools", "read_servers"]
