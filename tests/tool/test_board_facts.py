"""Each board's page says what its file says, with the source of each fact."""

import pytest

from kos.manifest import PlatformSpec
from kos.platforms import board
from kos.platforms.board import FACTS
from kos.tool import board_facts


@pytest.mark.parametrize("platform", board_facts.PAGES)
def test_the_page_is_current(platform):
    text = (board_facts.GUIDES / board_facts.PAGES[platform]).read_text()
    assert text == board_facts.page(platform), "python -m kos.tool.board_facts"


@pytest.mark.parametrize("platform", board_facts.PAGES)
def test_every_fact_has_a_source(platform):
    facts = board(PlatformSpec.parse(platform))
    assert set(facts.sources) == set(FACTS)
    assert all(len(source) > 20 for source in facts.sources.values())
