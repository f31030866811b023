import numpy as np

from seam_pipeline.audit._topics import cluster_names, clusters


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_clusters_find_separate_groups() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [30, 20, 10])
    vectors = unit(np.eye(3)[truth] + 0.1 * rng.normal(size=(60, 3)))
    found = clusters(vectors, 3, seed=1)
    assert sorted(np.bincount(found).tolist()) == [10, 20, 30]
    for one in range(3):
        assert len(set(found[truth == one].tolist())) == 1
    assert (found == clusters(vectors, 3, seed=1)).all()


def test_one_cluster_and_equal_vectors() -> None:
    same = unit(np.ones((5, 2)))
    assert clusters(same, 1).tolist() == [0] * 5
    assert set(clusters(same, 3).tolist()) <= {0, 1, 2}


def test_clusters_are_named_by_the_words_that_set_them_apart() -> None:
    texts = (
        ["brew ale with yeast https://ale.example.com/really"] * 5
        + ["train a network with data"] * 5
        + ["brew stout with barley"] * 5
    )
    names = cluster_names(texts, np.repeat([0, 1, 2], 5))
    assert names[0].split(", ")[:2] == ["ale", "yeast"]
    assert set(names[1].split(", ")) == {"data", "network", "train"}
    assert names[2].split(", ")[:2] == ["barley", "stout"]


def test_equal_names_are_told_apart() -> None:
    names = cluster_names(["ale", "ale", "ale", "ale"], np.array([0, 0, 1, 1]))
    assert names == {0: "ale", 1: "ale (2)"}
