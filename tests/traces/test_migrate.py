import pytest

from tirage.core.codec import SCHEMA_VERSION
from tirage.core.errors import DataError
from tirage.traces.migrate import UPGRADES, upgrade

CHAIN = {
    1: lambda record: {**{name: value for name, value in record.items() if name != "old"}, "new": record["old"]},
    2: lambda record: {**record, "added": record["new"] * 2},
}


def test_the_current_schema_passes_untouched():
    record = {"v": SCHEMA_VERSION, "x": 1}
    assert upgrade(record) is record


def test_the_chain_reaches_the_current_schema():
    assert sorted(UPGRADES) == list(range(1, SCHEMA_VERSION))


def test_steps_are_taken_in_order_from_where_the_record_is():
    assert upgrade({"v": 1, "old": 3}, upgrades=CHAIN, target=3) == {"v": 3, "new": 3, "added": 6}
    assert upgrade({"v": 2, "new": 5}, upgrades=CHAIN, target=3) == {"v": 3, "new": 5, "added": 10}


def test_a_missing_step_and_a_newer_record_are_refused():
    with pytest.raises(DataError, match="no upgrade from schema 3 to 4"):
        upgrade({"v": 1, "old": 3}, upgrades=CHAIN, target=4)
    with pytest.raises(DataError, match="schema version 4, this tirage reads up to 3"):
        upgrade({"v": 4}, upgrades=CHAIN, target=3)


@pytest.mark.parametrize("version", [None, "1", 0, -1, True, 1.0])
def test_an_unreadable_version_is_refused(version):
    with pytest.raises(DataError, match="schema version"):
        upgrade({"v": version})
