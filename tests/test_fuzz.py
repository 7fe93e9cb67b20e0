"""The fuzzers, with a small budget."""

import pytest
from fuzz import abuses, damage, interrupts, sequences


@pytest.mark.parametrize("is_forged", [False, True], ids=["damaged", "forged"])
@pytest.mark.parametrize("kind", ["states", "checkpoints"])
def test_damage_is_refused(kind, is_forged):
    counts = damage.fuzz(damage.KINDS[kind](), 14 if is_forged else 70, is_forged=is_forged)
    assert not [result for result in counts if result.startswith("WRONG")]
    assert counts["refused"] > 3


def test_what_is_not_damaged_is_accepted():
    for make in damage.KINDS.values():
        for target in make():
            again = target.forge(damage.safetensors.numpy.load(target.data), target.header(target.data))
            assert damage.outcome(target, again, target.use(target.data), False) == "the same"


@pytest.mark.slow
def test_the_command_line_has_an_answer_to_every_abuse():
    with abuses.folder() as work:
        wrong = [(case, result) for case in abuses.abuses() if (result := abuses.attempt(work, *case))]
    assert not wrong


def test_sequences_of_calls_are_what_they_are_equal_to():
    assert not sequences.run(5, steps=8)


def test_interrupted_calls_are_done_wholly_or_not_at_all():
    assert not interrupts.run(4)
