"""Opening, labelling and looking back: what a LocalRepository does beyond scanning."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from rapide.server.errors import Conflict, InvalidRequest, NotFound, RapideError, RepositoryError
from rapide.server.repository.activations import LabelTarget
from rapide.server.repository.digest import file_digest_text
from rapide.server.repository.labels import LabelChanges, Share, parse_changes
from rapide.server.repository.local import LocalRepository, open_repository
from tests.server.repository.examples import START, Clock, bare_tree, model_bytes, published


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repository(tmp_path: Path, clock: Clock) -> LocalRepository:
    """Versions 1 and 2 of car-price, published at START and an hour later, which is now."""
    published(tmp_path, "car-price", b"one", now=clock)
    clock.move(hours=1)
    published(tmp_path, "car-price", b"two", now=clock)
    return LocalRepository(tmp_path, now=clock)


def change(repository: LocalRepository, *texts: str, name: str = "car-price") -> None:
    repository.set_labels(name, parse_changes(texts), "ann", "because")


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (lambda path: None, "there is no repository at .* Name a folder"),
        (lambda path: path.write_text("{}"), "is neither a folder of models nor an .onnx file. Convert"),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, prepare: object, complaint: str) -> None:
    prepare(tmp_path / "models.json")  # type: ignore[operator]  # a lambda of each row
    with pytest.raises(RepositoryError, match=complaint):
        open_repository(tmp_path / "models.json")


def test_a_bare_file_whose_name_cannot_name_a_model(tmp_path: Path) -> None:
    (tmp_path / "my model.onnx").write_bytes(model_bytes())
    with pytest.raises(RepositoryError, match=r"'my model' cannot name a model\. Rename it"):
        open_repository(tmp_path / "my model.onnx")


def test_labels_are_logged_with_digest_person_and_reason(repository: LocalRepository) -> None:
    logged = repository.set_labels("car-price", parse_changes(["stable=1", "canary=2:10%"]), "ann", "try it")
    digests = [file_digest_text(repository.path / "car-price" / str(version) / "model.onnx") for version in (1, 2)]
    assert dict(logged.labels) == {
        "canary": LabelTarget(2, 10.0, digests[1]),
        "stable": LabelTarget(1, None, digests[0]),
    }
    assert (logged.time, logged.who, logged.why) == (START + timedelta(hours=1), "ann", "try it")
    assert repository.history("car-price").entries == (logged,)
    assert repository.labels("car-price") == dict(logged.labels)
    assert dict(repository.scan().models["car-price"].labels) == dict(logged.labels)


def test_only_what_changed_is_logged(repository: LocalRepository) -> None:
    change(repository, "stable=1", "beta=2")
    change(repository, "canary=2:5%", "beta=-")
    last = repository.history("car-price").entries[-1]
    assert (set(last.labels), last.removed) == ({"canary"}, ("beta",))
    assert set(repository.labels("car-price")) == {"stable", "canary"}


def test_a_version_without_manifest_is_labelled_by_its_digest_of_the_day(tmp_path: Path) -> None:
    path = bare_tree(tmp_path)
    repository = LocalRepository(tmp_path)
    change(repository, "stable=1", name="plain")
    assert repository.labels("plain")["stable"].digest == file_digest_text(path)


@pytest.mark.parametrize(
    ("name", "changes", "error", "complaint"),
    [
        ("bike-price", ["stable=1"], NotFound, r"no model 'bike-price'. Models there are: car-price\."),
        ("../car-price", ["stable=1"], NotFound, r"no model '../car-price'"),
        ("car-price", ["stable=7"], NotFound, r"there is no such version. Versions here: 1, 2\."),
        ("car-price", ["canary=-"], NotFound, r"'canary' is not set. Labels here: none\."),
        ("car-price", [], InvalidRequest, "no change of a label is given"),
    ],
)
def test_labels_refused(
    repository: LocalRepository, name: str, changes: list[str], error: type[RapideError], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        change(repository, *changes, name=name)
    assert repository.history("car-price").entries == ()


def test_a_broken_version_is_refused_with_its_reason(repository: LocalRepository) -> None:
    manifest = repository.path / "car-price" / "2" / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("{}")
    with pytest.raises(
        Conflict, match=r"car-price/2 cannot be used: manifest\.json cannot be used: 'schema' is missing"
    ):
        change(repository, "stable=2")
    assert repository.labels("car-price") == {}


@pytest.mark.parametrize("trap", ["/etc/passwd", "nothing"])
def test_a_log_that_is_no_file_here_is_not_read(repository: LocalRepository, trap: str) -> None:
    (repository.path / "car-price" / "activations.jsonl").symlink_to(trap)
    for ask in (lambda: repository.labels("car-price"), lambda: change(repository, "stable=1")):
        with pytest.raises(RepositoryError, match=r"car-price: activations\.jsonl is"):
            ask()


@pytest.mark.parametrize("open_file", [True, False])
def test_a_bare_file_takes_no_labels(tmp_path: Path, open_file: bool) -> None:
    (tmp_path / "plain.onnx").write_bytes(model_bytes())
    repository = LocalRepository(tmp_path / "plain.onnx" if open_file else tmp_path)
    with pytest.raises(Conflict, match="'plain' is a bare file: it has one version and no labels"):
        change(repository, "stable=1", name="plain")


def test_a_clock_set_back_does_not_reorder_history(repository: LocalRepository, clock: Clock) -> None:
    change(repository, "stable=1")
    clock.move(days=-1)
    change(repository, "stable=2")
    first, second = repository.history("car-price").entries
    assert second.time == first.time
    assert repository.which("car-price", first.time).labels["stable"].version == 2


def test_concurrent_shares_never_exceed_the_whole(repository: LocalRepository) -> None:
    """Four processes want 40 % each for a label of their own: two of them are too late, whoever they are."""
    change(repository, "stable=1")
    script = f"""
        import sys
        from pathlib import Path
        from rapide.server.errors import InvalidRequest
        from rapide.server.repository.labels import parse_changes
        from rapide.server.repository.local import LocalRepository
        repository = LocalRepository(Path({str(repository.path)!r}))
        try:
            repository.set_labels("car-price", parse_changes([sys.argv[1] + "=2:40%"]), "bob")
        except InvalidRequest:
            sys.exit(3)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    children = [subprocess.Popen([*command, f"arm-{number}"]) for number in range(4)]
    assert sorted(child.wait(60) for child in children) == [0, 0, 3, 3]
    weights = [target.weight_percent or 0 for target in repository.labels("car-price").values()]
    assert sum(weights) == 80


def test_which_version_answered_when(repository: LocalRepository, clock: Clock) -> None:
    change(repository, "stable=1", "canary=2:10%")
    clock.move(hours=1)
    change(repository, "stable=2", "canary=-")
    hour = timedelta(hours=1)
    before, then, later = (repository.which("car-price", START + n * hour) for n in (0.5, 1.5, 2.5))
    assert before.shares == (Share("", 1, 100.0),)
    assert then.shares == (Share("stable", 1, 90.0), Share("canary", 2, 10.0))
    assert later.shares == (Share("stable", 2, 100.0),)
    assert repository.which("car-price", START + 1.5 * hour, "canary").labels["canary"].version == 2
    with pytest.raises(NotFound, match="had no label 'canary'"):
        repository.which("car-price", START + 2.5 * hour, "canary")


def test_history_outlives_the_versions(repository: LocalRepository) -> None:
    change(repository, "stable=1")
    for version in (1, 2):
        folder = repository.path / "car-price" / str(version)
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert repository.which("car-price", START + timedelta(hours=2)).shares == (Share("stable", 1, 100.0),)
    with pytest.raises(NotFound, match="there is no such version"):
        change(repository, "stable=1")


def test_a_folder_without_version_and_history_is_no_model(repository: LocalRepository) -> None:
    (repository.path / "empty").mkdir()
    with pytest.raises(NotFound, match="no model 'empty'"):
        repository.which("empty", START)


def test_changes_may_be_made_without_text(repository: LocalRepository) -> None:
    repository.set_labels("car-price", LabelChanges({"stable": LabelTarget(2)}), "ann")
    assert repository.labels("car-price")["stable"].version == 2
