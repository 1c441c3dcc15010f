"""What a user of MLflow's Python client does with artifacts, against the server whose address is given."""

import filecmp
import os
import sys
import tempfile
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

ROOT = "mlflow-artifacts:/7/0123abc/artifacts"

TREE = {
    "MLmodel": b"flavors:\n",
    "empty": b"",
    "with space.txt": b"a b",
    "plus+and&amp=.txt": b"signs",
    "percent 100%.txt": b"%",
    "semi;colon,comma.txt": b";",
    "שלום/日本語.txt": "ü".encode(),
    "a/b/c/d/e/f/g/h/i/j/deep": b"deep",
    "a/b/other.bin": bytes(range(256)) * 10,
    ".hidden/.file": b"h",
    "code/page.html": b"<script>alert(1)</script>",
}


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def listed(repo, path=None):
    return [(info.path, info.is_dir, info.file_size) for info in repo.list_artifacts(path)]


def tree(repo, work):
    source = Path(work, "source")
    for name, data in TREE.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    repo.log_artifacts(str(source), "model")
    repo.log_artifact(str(source / "with space.txt"))
    assert listed(repo) == [("model", True, None), ("with space.txt", False, 3)], listed(repo)
    top = sorted({name.split("/")[0] for name in TREE})
    assert [path for path, _, _ in listed(repo, "model")] == [f"model/{name}" for name in top]
    assert listed(repo, "model/a/b") == [("model/a/b/c", True, None), ("model/a/b/other.bin", False, 2560)]
    assert listed(repo, "model/MLmodel") == []
    assert listed(repo, "nowhere") == []
    target = Path(work, "target")
    target.mkdir()
    repo.download_artifacts("model", str(target))
    assert files(target / "model") == files(source), files(target / "model")
    for name in TREE:
        assert filecmp.cmp(source / name, target / "model" / name, shallow=False), name
    one = repo.download_artifacts("model/שלום/日本語.txt", work)
    assert Path(one).read_text() == "ü"


def replaced_and_deleted(repo, work):
    note = Path(work, "note.txt")
    for text in ["first", "second and longer"]:
        note.write_text(text)
        repo.log_artifact(str(note), "notes")
    assert Path(repo.download_artifacts("notes/note.txt")).read_text() == "second and longer"
    repo.delete_artifacts("notes/note.txt")
    assert listed(repo, "notes") == []
    try:
        repo.download_artifacts("notes/note.txt")
    except Exception as error:
        assert "note.txt" in str(error), error
    else:
        raise AssertionError("a deleted file was downloaded")
    repo.delete_artifacts("model/a")
    assert ("model/a", True, None) not in listed(repo, "model")
    repo.delete_artifacts()
    assert listed(repo) == []


def in_parts(repo, work):
    os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = "1"
    os.environ["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = str(5 << 20)
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
    large = Path(work, "large file.bin")
    large.write_bytes(os.urandom(1 << 20) * 17 + b"end")
    repo.log_artifact(str(large), "parts")
    assert listed(repo, "parts") == [("parts/large file.bin", False, (17 << 20) + 3)]
    assert Path(repo.download_artifacts("parts/large file.bin")).read_bytes() == large.read_bytes()
    # Told to download in parts from a bucket, the client is told that there is none, and takes the ordinary way.
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "true"
    assert Path(repo.download_artifacts("parts/large file.bin")).read_bytes() == large.read_bytes()
    for name in list(os.environ):
        if "MULTIPART" in name:
            del os.environ[name]


def hostile(repo, work):
    note = Path(work, "x")
    note.write_text("x")
    for path in ["a\\..\\b", "%2e%2e/x", "..%2f..%2fx"]:
        try:
            repo.log_artifact(str(note), path)
        except (MlflowException, Exception) as error:
            assert "nvalid" in str(error), error
        else:
            raise AssertionError(f"{path} was taken")
    assert listed(repo) == [("parts", True, None)]


def main(url):
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    repo = MlflowArtifactsRepository(ROOT, tracking_uri=url)
    for step in [tree, replaced_and_deleted, in_parts, hostile]:
        with tempfile.TemporaryDirectory() as work:
            step(repo, work)
        print("passed:", step.__name__)


main(sys.argv[1])
