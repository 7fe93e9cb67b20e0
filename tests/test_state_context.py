import json
import pickle
import struct
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import example, given
from hypothesis import strategies as st
from test_state_softmax import SHAPE, assert_close
from test_state_summary import summary

from skcmanp.adaptation import Adaptation
from skcmanp.adaptation.encoding import Encoding
from skcmanp.adaptation.first_rows import FirstRows
from skcmanp.adaptation.inputs import Inputs
from skcmanp.adaptation.missed import Missed
from skcmanp.adaptation.targets import Targets
from skcmanp.frames import Kind
from skcmanp.seal import check_seal, seal, unsealed
from skcmanp.state.context import _FORMAT, ContextState
from skcmanp.state.softmax import RunningSoftmax
from skcmanp.state.summary import Summary
from skcmanp.state.sums import RunningSums


def scaling(centre, n_targets):
    """An adaptation that fixes centres and scales alone."""
    encoding = Encoding(np.full(len(centre), Kind.NUMBER, dtype=np.int64), centre, np.ones(len(centre)))
    targets = Targets.fit_moments(np.zeros((1, n_targets)), None, None, standardize=False)
    return Adaptation(Inputs.of_numbers(encoding), targets)


SCALING = scaling(np.zeros(3), 2)


def state(n_rows=0, seed=0, **changes):
    return ContextState(
        **{
            "checkpoint": "net",
            "fingerprint": "ab" * 32,
            "adaptation": SCALING,
            "summary": summary(seed, n_rows),
            "kinds": (Kind.NUMBER,) * changes.get("adaptation", SCALING).n_features,
            **changes,
        }
    )


def first_rows(n):
    rng = np.random.default_rng(n)
    return FirstRows(rng.normal(size=(n, 3)), rng.normal(size=(n, 2)), rng.uniform(0.1, 2, n))


def midstream(n_rows=5, **changes):
    """A state that has everything that a state can have."""
    return state(n_rows, feature_names=("a", "b", "ü"), first_rows=first_rows(n_rows), **changes)


def assert_equal(a, b):
    """Both hold the same, to the bit."""
    assert {**vars(a), "adaptation": 0, "summary": 0, "first_rows": 0} == {
        **vars(b),
        "adaptation": 0,
        "summary": 0,
        "first_rows": 0,
    }
    arrays, others = a._arrays(), b._arrays()
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        assert array.dtype == others[name].dtype
        np.testing.assert_array_equal(array, others[name])


# ------------------------------------------------------------------ algebra


def test_states_absorb_merge_subtract_and_decay_their_summaries():
    a, b = summary(0, 5, 7.5), summary(1, 3, 2.5)
    total = state().absorb(a).absorb(b)
    assert (total.weight, total.n_rows) == (10.0, 8)
    merged = state().absorb(a).merge(state().absorb(b))
    assert (merged.weight, merged.n_rows) == (10.0, 8)
    assert_close(merged.summary.softmax, total.summary.softmax, 0)
    left = total.subtract(b)
    assert (left.weight, left.n_rows) == (7.5, 5)
    empty = total.decay(0.0)
    assert (empty.weight, empty.n_rows) == (0.0, 0)
    assert empty.adaptation is total.adaptation


@given(order=st.permutations(range(4)), seed=st.integers(0, 100))
def test_merging_several_is_commutative_and_associative(order, seed):
    a, b, c, d = (state(n, seed + n) for n in order)
    merged = a.merge(b, c, d)
    for other in (a.merge(b).merge(c).merge(d), d.merge(c, b, a), a.merge(b.merge(c, d)), a.merge(b).merge(c.merge(d))):
        assert (other.weight, other.n_rows) == (pytest.approx(merged.weight, rel=1e-15), merged.n_rows)
        assert_close(other.summary.softmax, merged.summary.softmax, 1e-12)
        np.testing.assert_allclose(other.summary.sums.a, merged.summary.sums.a, rtol=1e-12, atol=1e-12)


def test_only_rows_that_a_stream_goes_on_with_are_kept():
    kept = midstream()
    assert kept.decay(1.0).first_rows is not None
    np.testing.assert_array_equal(kept.decay(0.5).first_rows.weight, kept.first_rows.weight / 2)
    longer = first_rows(8)
    assert kept.absorb(summary(1, 3), longer).first_rows is longer
    for frozen in (kept.decay(0.0), kept.merge(kept), kept.subtract(summary(0, 5)), kept.absorb(summary(1, 3))):
        assert frozen.first_rows is None


def test_merging_needs_the_same_network_and_scaling():
    with pytest.raises(ValueError, match=r"checkpoint 'other' \(cdcd"):
        state().merge(state(checkpoint="other", fingerprint="cd" * 32))
    other = scaling(np.ones(3), 2)
    with pytest.raises(ValueError, match="x_bounds"):
        state().merge(state(adaptation=other))
    other = Summary(RunningSoftmax.empty((2, *SHAPE[1:])), RunningSums.empty((2, 6, 1)))
    with pytest.raises(ValueError, match="scaling"):
        state().merge(state(summary=other))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("b", "a", "c"), "orders of columns: 'a', 'b' here and 'b', 'a' there.*the same order"),
        (("a", "b", "d"), "columns: 'c' here and 'd' in the other.*the same columns"),
        (tuple("uvw"), "columns: 'a', 'b', 'c' here and 'u', 'v', 'w' in the other"),
    ],
)
def test_merging_needs_the_same_columns_in_the_same_order(names, message):
    a = state(feature_names=("a", "b", "c"))
    with pytest.raises(ValueError, match=message):
        a.merge(a, state(feature_names=names))


def test_many_columns_that_differ_are_not_all_listed():
    wide = scaling(np.zeros(12), 2)
    a, b = (state(adaptation=wide, feature_names=tuple(f"{name}{i}" for i in range(12))) for name in "ab")
    with pytest.raises(ValueError, match="'a0', 'a1', 'a2', 'a3', 'a4' and 7 more here"):
        a.merge(b)


def test_names_that_only_one_state_has_are_a_warning():
    named, unnamed = state(feature_names=("a", "b", "c")), state()
    with pytest.warns(UserWarning, match="Only one of the merged contexts has feature names"):
        assert named.merge(unnamed).feature_names == ("a", "b", "c")
    with pytest.warns(UserWarning, match="Only one"):
        assert unnamed.merge(named).feature_names is None


def test_merging_needs_y_of_one_shape():
    one = Summary(RunningSoftmax.empty((1, *SHAPE[1:])), RunningSums.empty((1, 7, 1)))
    flat, column = (
        state(adaptation=scaling(np.zeros(3), 1), summary=one, y_is_1d=y_is_1d) for y_is_1d in (True, False)
    )
    with pytest.raises(ValueError, match=r"y of shape \(n_samples,\) and of shape \(n_samples, 1\).*y.ravel\(\)"):
        flat.merge(column)
    with pytest.raises(ValueError, match=r"y of shape \(n_samples, 1\) and of shape \(n_samples,\)"):
        column.merge(flat)
    assert flat.merge(flat).y_is_1d


def test_rows_can_weigh_only_so_much():
    heavy = state(summary=summary(0, 5, 9e10))
    for sum_up in (lambda: heavy.merge(heavy), lambda: heavy.absorb(summary(1, 3, 2e10))):
        with pytest.raises(ValueError, match=r"All rows read weigh 1\.[18]e\+11 in all, .*; divide all sample weights"):
            sum_up()


# ------------------------------------------------------------------ bytes


@pytest.mark.parametrize("n_rows", [0, 1, 5])
def test_bytes_round_trip_exactly(n_rows):
    original = state(n_rows)
    restored = ContextState.from_bytes(original.to_bytes())
    assert restored.to_bytes() == original.to_bytes()
    assert (restored.weight, restored.n_rows) == (original.weight, original.n_rows)
    assert restored.adaptation.equals(SCALING)
    assert_equal(restored, original)


@given(n_rows=st.integers(1, 9), seed=st.integers(0, 100), names=st.none() | st.tuples(*[st.text()] * 3))
def test_bytes_hold_names_and_first_rows(n_rows, seed, names):
    original = state(n_rows, seed, feature_names=names, first_rows=first_rows(n_rows))
    assert_equal(ContextState.from_bytes(original.to_bytes()), original)


@pytest.mark.parametrize(
    "kind",
    [bytes, bytearray, memoryview, lambda data: memoryview(np.repeat(np.frombuffer(data, "u1"), 2))[::2]],
    ids=["bytes", "bytearray", "memoryview", "non-contiguous"],
)
def test_bytes_may_be_any_buffer(kind):
    assert_equal(ContextState.from_bytes(kind(midstream().to_bytes())), midstream())


@pytest.mark.parametrize("data", ["text", None, 12])
def test_what_is_no_buffer_is_refused(data):
    with pytest.raises(TypeError, match="bytes-like"):
        ContextState.from_bytes(data)


def test_every_flipped_bit_of_the_header_is_noticed():
    data = bytearray(midstream().to_bytes())
    for position in range(8 + int.from_bytes(data[:8], "little")):
        for bit in range(8):
            data[position] ^= 1 << bit
            with pytest.raises(ValueError, match="damaged"):
                ContextState.from_bytes(data)
            data[position] ^= 1 << bit
    assert_equal(ContextState.from_bytes(data), midstream())


@given(where=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_noticed(where, bit):
    data = bytearray(midstream().to_bytes())
    data[where % len(data)] ^= 1 << bit
    with pytest.raises(ValueError, match="damaged"):
        ContextState.from_bytes(data)


def with_header(header):
    data = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return struct.pack("<Q", len(data)) + data


@given(data=st.binary(max_size=64))
@example(data=b"")
@example(data=b"12345678")
@example(data=b"\x05\x00\x00\x00\x00\x00\x00\x00abcde")
@example(data=b"\xff" * 16)
@example(data=struct.pack("<Q", 2**63 - 1) + b"{}")
@example(data=with_header({}))
@example(data=with_header([]))
@example(data=with_header({"__metadata__": {_FORMAT: "[" * 100_000}}))
@example(data=with_header({"__metadata__": {_FORMAT: "1" * 10_000}}))
@example(data=with_header({"__metadata__": {_FORMAT: "null"}}))
@example(data=with_header({"__metadata__": {_FORMAT: "{}"}}))
@example(data=with_header(b"[" * 100_000))
@example(data=with_header({"weight": {"dtype": "F64", "shape": [2**62, 2**62], "data_offsets": [0, 8]}}) + bytes(8))
@example(data=with_header({"weight": {"dtype": "F64", "shape": [0, 2**62], "data_offsets": [0, 0]}}))
def test_foreign_bytes_are_refused(data):
    with pytest.raises(ValueError, match="damaged or not a context"):
        ContextState.from_bytes(data)


@given(end=st.integers(0, 10**6))
def test_truncated_bytes_are_refused(end):
    data = midstream().to_bytes()
    with pytest.raises(ValueError, match="damaged or not a context"):
        ContextState.from_bytes(data[: end % len(data)])
    with pytest.raises(ValueError, match="damaged or not a context"):
        ContextState.from_bytes(data + b"\0")


def test_bytes_of_another_version_say_so():
    data = safetensors.numpy.save({"weight": np.ones(1)}, metadata={"skcmanp.context.6": "{}"})
    with pytest.raises(ValueError, match=r"reads skcmanp.context.9, and these are skcmanp.context.6"):
        ContextState.from_bytes(data)


def test_bytes_of_the_format_before_are_read():
    """They have one scale of what features miss."""
    good = midstream()
    scale = good.adaptation.missed.scale
    adaptation = replace(good.adaptation, missed=Missed(scale, scale, np.ones(2)))
    arrays = {name: array for name, array in good._arrays().items() if ".missed." not in name}
    metadata = {"skcmanp.context.8": unsealed(check_seal(good.to_bytes(), _FORMAT))}
    data = safetensors.numpy.save(arrays | {"adaptation.missed": scale}, metadata=metadata)
    data = seal(data, "skcmanp.context.8")
    assert_equal(ContextState.from_bytes(data), replace(good, adaptation=adaptation))
    with pytest.raises(ValueError, match="checksum"):
        ContextState.from_bytes(data[:-1] + b"x")


# ------------------------------------------------------------------ states that cannot be


def sealed(header=(), arrays=()):
    """Bytes of a state with changes, and the checksum of what they are then."""
    good = midstream()
    header = {
        "checkpoint": good.checkpoint,
        "fingerprint": good.fingerprint,
        "feature_names": good.feature_names,
        "y_is_1d": good.y_is_1d,
        "kinds": good.kinds,
        **dict(header),
    }
    arrays = {name: array for name, array in {**good._arrays(), **dict(arrays)}.items() if array is not None}
    text = json.dumps(header)
    return seal(safetensors.numpy.save(arrays, metadata={_FORMAT: unsealed(text)}), _FORMAT)


def test_states_that_are_possible_are_accepted():
    assert_equal(ContextState.from_bytes(sealed()), midstream())


def test_what_is_read_does_not_depend_on_the_buffer():
    data = bytearray(midstream().to_bytes())
    found = ContextState.from_bytes(data)
    data[:] = bytes(len(data))
    assert_equal(found, midstream())
    assert_equal(pickle.loads(pickle.dumps(found)), midstream())
    assert all(array.flags.owndata for array in vars(found.first_rows).values())
    buffer = np.frombuffer(data, np.uint8)
    assert not any(np.shares_memory(array, buffer) for array in found.adaptation.arrays().values())


def test_what_was_adapted_is_shared_by_states_that_are_alike_in_it():
    """So it is checked once, and what networks make of it serves all."""
    first, second = midstream(), replace(midstream(), first_rows=None)
    restored = [ContextState.from_bytes(state.to_bytes()).adaptation for state in (first, second)]
    assert restored[0] is restored[1]
    ratio = np.nextafter(first.adaptation.ratio, np.inf)
    other = ContextState.from_bytes(replace(first, adaptation=replace(first.adaptation, ratio=ratio)).to_bytes())
    assert other.adaptation is not restored[0]
    assert not other.adaptation.equals(restored[0])
    with pytest.raises(ValueError, match="read-only"):
        restored[0].targets.centre[0] = 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"n_rows": 2**63 - 1},
        {"n_rows": 10**29},
        {"weight": np.float32(3)},
        {"weight": 10**29},
        *({"softmax": (name, 1.5e308)} for name in ("s", "peak")),
        *({"softmax": (name, dtype)} for name in ("m", "s", "o", "peak") for dtype in ("complex128", "object")),
        *({"sums": (name, dtype)} for name in "abcd" for dtype in ("complex128", "object", "float32")),
    ],
    ids=str,
)
def test_states_that_were_made_of_other_numbers_are_not_merged(changes):
    good = midstream()
    summary = good.summary
    for part, change in changes.items():
        if isinstance(change, tuple):
            name, value = change
            array = getattr(getattr(summary, part), name)
            array = array.astype(value) if isinstance(value, str) else np.full_like(array, value)
            change = replace(getattr(summary, part), **{name: array})
        summary = replace(summary, **{part: change})
    with pytest.raises(ValueError, match=r"dtype float64|no .* rows|not finite|weigh"):
        good.merge(replace(good, summary=summary))


@pytest.mark.parametrize(
    ("header", "arrays"),
    [
        ({"checkpoint": 5}, {}),
        ({"fingerprint": None}, {}),
        ({"feature_names": ["a", "b"]}, {}),
        ({"kinds": [Kind.CATEGORY, Kind.NUMBER, Kind.NUMBER]}, {}),
        ({"kinds": [Kind.UNKNOWN] * 3}, {}),
        ({"feature_names": ["a", "b", 3]}, {}),
        ({"feature_names": []}, {}),
        ({"y_is_1d": True}, {}),
        ({"y_is_1d": 0}, {}),
        ({"unknown": 1}, {}),
        ({}, {"summary.weight": np.array([-5.0])}),
        ({}, {"summary.weight": np.array([np.nan])}),
        ({}, {"summary.weight": np.array([np.inf])}),
        ({}, {"summary.weight": np.array([1e12])}),
        ({}, {"summary.weight": np.ones(2)}),
        ({}, {"summary.weight": None}),
        ({}, {"summary.n_rows": np.array([-1])}),
        ({}, {"summary.n_rows": np.array([2**63 - 1])}),
        ({}, {"summary.n_rows": np.array([5.0])}),
        ({}, {"summary.n_rows": np.array([6])}),
        ({}, {"summary.sums.b": np.full((2, 7, 1), np.nan)}),
        ({}, {"summary.sums.b": np.zeros((2, 7, 1), np.float32)}),
        ({}, {"summary.sums.b": np.zeros((2, 6, 1))}),
        ({}, {"summary.sums.a": np.full(28, np.inf)}),
        ({}, {"summary.sums.a": np.zeros(27)}),
        ({}, {"summary.sums.c": np.zeros(2)}),
        ({}, {"summary.sums.d": np.zeros((2, 7))}),
        ({}, {"summary.softmax.s": -np.ones(SHAPE[:-1])}),
        ({}, {"summary.softmax.s": np.zeros(SHAPE[:-1])}),
        ({}, {"summary.softmax.m": np.full(SHAPE[:-1], np.inf)}),
        ({}, {"summary.softmax.m": np.full(SHAPE[:-1], -np.inf)}),
        ({}, {"summary.softmax.m": np.full(SHAPE[:-1], np.nan)}),
        ({}, {"summary.softmax.o": np.full(SHAPE, np.nan)}),
        ({}, {"summary.softmax.o": np.zeros((2, 3, 4))}),
        ({}, {"summary.softmax.peak": -np.ones(SHAPE[:-1])}),
        ({}, {"summary.softmax.peak": np.ones((1, 1, 1))}),
        ({}, {"summary.other": np.ones(1)}),
        ({}, {"other.weight": np.ones(1)}),
        ({}, {"adaptation.encoding.scale": np.zeros(3)}),
        ({}, {"adaptation.targets.scale": np.array([1.0, -1.0])}),
        ({}, {"adaptation.targets.scale": np.array([1.0, np.nan])}),
        ({}, {"adaptation.encoding.centre": np.array([1, 2, 3])}),
        ({}, {"adaptation.encoding.centre": np.zeros(2)}),
        ({}, {"adaptation.targets.centre": np.zeros(3), "adaptation.targets.scale": np.ones(3)}),
        ({}, {"adaptation.encoding.centre": None}),
        ({}, {"adaptation.unknown": np.ones(1)}),
        ({}, {"adaptation.unknown.scale": np.ones(1)}),
        ({}, {"adaptation.targets.unknown": np.ones(1)}),
        ({}, {"adaptation.ratio": None}),
        ({}, {"adaptation.ratio": np.ones(1, np.float32)}),
        ({}, {"adaptation.ratio.x": np.ones(1)}),
        ({}, {"first_rows.weight": np.ones(5, np.float32)}),
        ({}, {"summary.softmax.o": np.full(SHAPE, 1e-200), "summary.softmax.s": np.zeros(SHAPE[:-1])}),
        ({}, {"first_rows.X": np.full((5, 3), np.inf)}),
        ({}, {"first_rows.X": np.zeros((5, 2))}),
        ({}, {"first_rows.X": np.zeros((4, 3))}),
        ({}, {"first_rows.y": np.zeros(5)}),
        ({}, {"first_rows.y": np.zeros((5, 3))}),
        ({}, {"first_rows.y": None}),
        ({}, {"first_rows.weight": np.zeros(5)}),
        ({}, {"first_rows.weight": np.ones((5, 1))}),
        ({}, {"first_rows.weight": np.ones(())}),
    ],
)
def test_states_that_cannot_be_are_refused(header, arrays):
    data = sealed(header, arrays)
    with pytest.raises(ValueError, match="damaged or not a context"):
        ContextState.from_bytes(data)


def test_states_that_cannot_be_do_not_spread():
    good = state(5)
    broken = replace(good.summary, sums=replace(good.summary.sums, b=good.summary.sums.b * np.nan))
    with pytest.raises(ValueError, match="not finite"):
        good.merge(good, replace(good, summary=broken))


# ------------------------------------------------------------------ size and looks


def test_size_does_not_depend_on_rows():
    empty, full = state(), state(5)
    assert empty.nbytes == full.nbytes
    assert abs(len(full.to_bytes()) - full.nbytes) < 2560


def test_repr_is_one_short_line():
    half = state(5).decay(0.5)
    d, t = SCALING.n_features, SCALING.n_targets
    assert repr(half) == (
        f"ContextState(checkpoint={half.checkpoint!r}, n_features={d}, n_outputs={t}, n_rows=5, "
        f"weight={half.weight:.6g}, nbytes={half.nbytes})"
    )
    assert len(repr(half)) < 120
