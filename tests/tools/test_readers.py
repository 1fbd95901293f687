"""Files to documents: PDF pages, and what is wrong with a PDF in one line."""

from pathlib import Path

import pytest

from tirage.core.errors import DataError
from tirage.tools.retrieval.readers import read_documents

pypdf = pytest.importorskip("pypdf", reason="install pypdf: pip install 'tirage[retrieval]'")


def write_pdf(path: Path, pages: list[str], *, password: str = "") -> Path:
    """A real PDF with one line of text per page, an empty page for an empty one."""
    writer = pypdf.PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        name = pypdf.generic.NameObject
        font = pypdf.generic.DictionaryObject(
            {name("/Type"): name("/Font"), name("/Subtype"): name("/Type1"), name("/BaseFont"): name("/Helvetica")}
        )
        fonts = pypdf.generic.DictionaryObject({name("/F"): writer._add_object(font)})
        page[name("/Resources")] = pypdf.generic.DictionaryObject({name("/Font"): fonts})
        stream = pypdf.generic.DecodedStreamObject()
        stream.set_data(f"BT /F 12 Tf 20 200 Td ({text}) Tj ET".encode() if text else b"")
        page[name("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)
    return path


def test_a_pdf_is_a_document_per_page_with_text(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["Otters sleep.", "", "Basalt is dark."])
    assert list(read_documents(path)) == [(f"{path}#page=1", "Otters sleep."), (f"{path}#page=3", "Basalt is dark.")]


def test_what_is_wrong_with_a_pdf_is_one_line(tmp_path: Path) -> None:
    whole = write_pdf(tmp_path / "a.pdf", ["Otters sleep."]).read_bytes()
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\n" + whole[200:300])
    (tmp_path / "none.pdf").write_bytes(b"")
    write_pdf(tmp_path / "scan.pdf", ["", ""])
    write_pdf(tmp_path / "locked.pdf", ["Secret."], password="p")
    for name, says in (
        ("broken", "is no readable PDF"),
        ("none", "is no readable PDF"),
        ("scan", r"has no text on its 2 pages \(a scan\?\); .*ocrmypdf"),
        ("locked", "is locked with a password; .*qpdf --decrypt"),
        ("missing", "cannot be read: No such file"),
    ):
        with pytest.raises(DataError, match=says) as caught:
            list(read_documents(tmp_path / f"{name}.pdf"))
        assert str(tmp_path / f"{name}.pdf") in str(caught.value)
        assert "\n" not in str(caught.value)
