"""Shards add up to one reading, however they are cut and combined, empty ones included."""

import pickle
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from conftest import assert_same_predictions
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcmanp import CMANPRegressor, CMANPStreamRegressor
from skcmanp.shards import combine_shards, merge_shards, read_shard


@pytest.fixture
def seed(table, model):
    X, y = table
    return CMANPRegressor(model).fit(X[:30], y[:30])


def read(seed, X, y, edges, weight=None):
    cuts = [slice(a, b) for a, b in pairwise(edges)]
    return [read_shard(seed, X[rows], y[rows], None if weight is None else weight[rows]) for rows in cuts]


@pytest.mark.parametrize("edges", [[0, 60], [0, 0, 1, 1, 31, 60, 60]])
@pytest.mark.parametrize("weighted", [False, True])
def test_shards_are_one_reading(seed, table, edges, weighted):
    X, y = table
    weight = np.arange(60) % 3 if weighted else None
    whole = pickle.loads(pickle.dumps(seed)).decay(0).partial_fit(X, y, weight)
    shards = read(pickle.loads(pickle.dumps(seed)), X, y, edges, weight)
    assert_same_predictions(merge_shards(seed, shards), whole, X)
    tree = reduce(lambda a, b: combine_shards([a, b]), reversed(shards))
    merged = merge_shards(seed, [tree])
    assert_same_predictions(merged, whole, X)
    assert merged.n_samples_seen_ == whole.n_samples_seen_
    assert seed.n_samples_seen_ == 30


def test_shards_of_nothing_are_nothing(seed, table):
    X, y = table
    nothing = [read_shard(seed, X[:0], y[:0]), read_shard(seed, X, y, np.zeros(60))]
    assert_same_predictions(merge_shards(seed, nothing), pickle.loads(pickle.dumps(seed)).decay(0), X)
    with pytest.raises(ValueError, match="shards is empty"):
        combine_shards([])


def test_a_pipeline_is_a_seed(table, model):
    X, y = table
    seed = make_pipeline(StandardScaler(), CMANPRegressor(model)).fit(X[:30], y[:30])
    merged = merge_shards(seed, read(seed, X, y, [0, 20, 60]))
    expected = pickle.loads(pickle.dumps(seed))[-1].decay(0).partial_fit(seed[0].transform(X), y)
    assert_same_predictions(merged[-1], expected, seed[0].transform(X))
    assert merged.predict(X).shape == (60,)


def test_shards_of_other_seeds_are_refused(seed, table, model):
    X, y = table
    other = CMANPRegressor(model).fit(X[30:], y[30:])
    shards = [read_shard(seed, X, y), read_shard(other, X, y)]
    for call in (lambda: merge_shards(seed, shards), lambda: combine_shards(shards)):
        with pytest.raises(ValueError, match="A shard was read with another seed than the rest"):
            call()


@pytest.mark.parametrize("seed", [Ridge(), CMANPStreamRegressor(), make_pipeline(StandardScaler(), Ridge()), "seed"])
def test_seeds_of_another_kind_are_refused(seed, table):
    X, y = table
    for call in (lambda: read_shard(seed, X, y), lambda: merge_shards(seed, [])):
        with pytest.raises(TypeError, match=r"seed must be a CMANPRegressor, or a Pipeline that ends with one, fitted"):
            call()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_one_shard_is_not_several(seed, table, kind):
    shard = kind(read_shard(seed, *table))
    for call in (lambda: merge_shards(seed, shard), lambda: combine_shards(shard)):
        with pytest.raises(TypeError, match=r"the bytes of one; give \[shard\]"):
            call()
    assert combine_shards([shard]) == bytes(shard)
