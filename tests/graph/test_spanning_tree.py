"""Trees over binary weights: the same sums, no lighter tree, no deeper one than asked for; differences are restored."""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgec.graph.difference_storage import Form, restore, store
from edgec.graph.spanning_tree import hamming_distances, pareto_front, random_share, spanning_tree, tree_products


def random_signs(channels: int, width: int, seed: int, flips: float = 0.5) -> np.ndarray:
    """Channels that are a common pattern with some signs turned round."""
    random = np.random.default_rng(seed)
    base = random.choice(np.array([-1, 1], np.int8), width)
    return np.where(random.random((channels, width)) < flips, -base, base).astype(np.int8)


def lightest_weight(weights: np.ndarray) -> int:
    """Kruskal's algorithm, as an independent opinion."""
    group = list(range(len(weights)))
    total = 0
    for i, j in sorted(np.ndindex(weights.shape), key=lambda edge: int(weights[edge])):
        if group[i] != group[j]:
            total += int(weights[i, j])
            group = [group[i] if each == group[j] else each for each in group]
    return total


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 40), st.floats(0, 1), st.booleans(), st.integers(0, 4), st.integers(0, 99))
def test_sums_are_the_same_integers(
    channels: int, width: int, flips: float, complements: bool, depth: int, seed: int
) -> None:
    signs = random_signs(channels, width, seed, flips)
    tree = spanning_tree(signs, complements=complements, most_depth=depth or None)
    x = np.random.default_rng(seed).integers(-3, 4, (7, width))
    np.testing.assert_array_equal(tree_products(signs, tree, x), x @ signs.T.astype(np.int64))
    assert not depth or tree.depth <= depth
    assert (tree.parents < 0).sum() == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(1, 24), st.integers(0, 99))
def test_no_tree_is_lighter(channels: int, width: int, seed: int) -> None:
    signs = random_signs(channels, width, seed)
    distances = hamming_distances(signs)
    assert (distances == (signs[:, None] != signs[None]).sum(-1)).all()
    plain = spanning_tree(signs, complements=False)
    assert plain.operations - width == lightest_weight(distances)
    closer = np.minimum(distances, width - distances)
    assert spanning_tree(signs).operations - width == lightest_weight(closer)


def test_the_root_is_the_centre() -> None:
    chain = np.triu(np.ones((9, 9), np.int8)) * 2 - 1
    assert spanning_tree(chain.astype(np.int8), complements=False).depth == 4


def test_depth_against_weight() -> None:
    front = pareto_front(random_signs(40, 90, 1))
    assert [tree.depth for tree in front] == sorted({tree.depth for tree in front})
    weights = [tree.operations for tree in front]
    assert weights == sorted(set(weights), reverse=True)
    assert len(front) > 1


def test_a_large_layer_is_quick_and_small() -> None:
    signs = random_signs(512, 4608, 0)
    tracemalloc.start()
    started = time.process_time()
    tree = spanning_tree(signs)
    seconds = time.process_time() - started
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    assert tree.operations < 0.49 * signs.size
    assert megabytes < 200
    assert seconds < 2


def test_random_weights_have_a_floor() -> None:
    assert 0.45 < random_share(64, 576) < 0.48
    assert spanning_tree(random_signs(64, 576, 0, 0.1)).operations / (64 * 576) < 0.2


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 300), st.floats(0, 1), st.integers(0, 99))
def test_stored_differences_come_back(width: int, share: float, seed: int) -> None:
    different = np.random.default_rng(seed).random(width) < share
    stored = store(different)
    np.testing.assert_array_equal(restore(stored.bits, width), different)
    assert len(stored.bits) <= width + 2


@pytest.mark.parametrize(("share", "form"), [(0.5, Form.BITMAP), (0.1, Form.RICE)])
def test_the_smallest_form_is_chosen(share: float, form: Form) -> None:
    different = np.random.default_rng(0).random(4608) < share
    stored = store(different)
    assert stored.form is form
    entropy = -4608 * (share * np.log2(share) + (1 - share) * np.log2(1 - share))
    assert len(stored.bits) < 1.05 * entropy + 20


def test_few_differences_are_a_list() -> None:
    different = np.zeros(8, bool)
    different[7] = True
    assert store(np.repeat(different, 16)).bits.size < 128
    alone = np.zeros(4, bool)
    assert restore(store(alone).bits, 4).sum() == 0
