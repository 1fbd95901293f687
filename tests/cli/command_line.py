"""The command line in this process, and the files that its tests give it."""

from pathlib import Path

import pytest

from tirage.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    code = ended.value.code
    return code if isinstance(code, int) else 1, output.out, output.err


def problems(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return str(path)


def script(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "script.txt"
    path.write_text("\n".join(lines))
    return f"scripted/{path}"
