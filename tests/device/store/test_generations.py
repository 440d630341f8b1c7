"""Which generation a start leads to."""

from kos.device.store.generations import FAILED, GOOD, TRIAL, Generation, choose, keep, load


def known(*facts):
    """Generations as (number, slot, state, attempts)."""
    return {n: Generation(n, f"{n}" * 4, f"1.{n}", slot, {}, state, tries) for n, slot, state, tries in facts}


def test_the_current_good_one_runs():
    assert choose(known((1, "a", GOOD, 0)), 1, "a", 3).run == 1


def test_a_trial_runs_while_it_has_attempts_and_then_the_newest_good_one():
    made = known((1, "a", GOOD, 0), (2, "a", GOOD, 0), (3, "a", TRIAL, 2))
    choice = choose(made, 3, "a", 3)
    assert choice.run == 3 and choice.changed[3].attempts == 3
    choice = choose(made | dict(choice.changed), 3, "a", 3)
    assert choice.run == 2 and choice.changed[3].state == FAILED
    assert "3 starts" in choice.changed[3].reason


def test_without_a_limit_a_trial_is_started_for_ever():
    assert choose(known((1, "a", GOOD, 0), (2, "a", TRIAL, 99)), 2, "a", 0).run == 2


def test_an_update_of_the_slot_runs_once_its_slot_has_started():
    made = known((1, "a", GOOD, 0), (2, "b", TRIAL, 0))
    assert choose(made, 1, "b", 3).run == 2


def test_a_slot_that_did_not_start_fails_its_generation_with_the_note():
    choice = choose(known((1, "a", GOOD, 0), (2, "b", TRIAL, 0)), 1, "a", 3, "kos-root-b: broken")
    assert choice.run == 1
    assert choice.changed[2].reason == "slot b did not start: kos-root-b: broken"


def test_a_slot_that_started_and_was_reset_fails_its_generation():
    """A hanging first process, and the watchdog: it was chosen once, and nothing more was heard of it."""
    choice = choose(known((1, "a", GOOD, 0), (2, "b", TRIAL, 1)), 1, "a", 3)
    assert choice.run == 1 and "started and did not get to" in choice.changed[2].reason


def test_a_slot_without_a_good_generation_sends_to_the_other_one():
    choice = choose(known((1, "a", GOOD, 0), (2, "b", TRIAL, 3)), 2, "b", 3)
    assert (choice.run, choice.reboot_to) == (0, "a")


def test_a_good_slot_that_does_not_start_any_more_fails_what_lives_there_with_the_note():
    made = known((1, "a", GOOD, 0), (2, "a", FAILED, 0), (3, "b", GOOD, 0))
    choice = choose(made, 3, "a", 3, "kos-root-b: cannot mount", passed_over=True)
    assert (choice.run, choice.reboot_to, list(choice.changed)) == (1, "", [3])
    assert choice.changed[3].state == FAILED
    assert choice.changed[3].reason == "slot b did not start: kos-root-b: cannot mount"


def test_the_only_good_one_is_not_looked_for_in_a_slot_that_does_not_start():
    made = known((1, "a", FAILED, 0), (2, "b", GOOD, 0))
    assert choose(made, 1, "a", 3).reboot_to == "b"
    choice = choose(made, 1, "a", 3, passed_over=True)
    assert (choice.run, choice.reboot_to) == (1, "") and choice.changed[2].state == FAILED


def test_when_nothing_was_ever_good_the_newest_runs():
    assert choose(known((1, "a", TRIAL, 3)), 1, "a", 3).run == 1


def test_an_empty_store_has_nothing_to_run():
    assert choose({}, 0, "a", 3).run == 0


def test_garbage_collection_keeps_current_trials_and_the_newest_good_ones():
    made = known(*((n, "a", GOOD, 0) for n in range(1, 7)), (7, "a", FAILED, 0), (8, "a", TRIAL, 0))
    assert keep(made, 6) == {4, 5, 6, 7, 8}


def test_a_record_reads_back():
    made = known((1, "a", GOOD, 0))[1]
    assert load(made.dump(), "here") == made
