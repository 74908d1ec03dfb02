"""What huggingface_hub says about a cache that zimg filled, and the other way round.

usage: witness.py see | fetch | die PID_FILE
"""

import os
import sys

import huggingface_hub as hub

REPOSITORY = "Tongyi-MAI/Z-Image-Turbo"
# What zimg fetches of this repository.
WANTED = ["*.json", "*/*.json", "*/*.safetensors"]


def see():
    """The cache is whole and free of warnings, and offline loading finds every file."""
    info = hub.scan_cache_dir()
    assert not info.warnings, info.warnings
    (repository,) = info.repos
    assert repository.repo_id == REPOSITORY and repository.repo_type == "model"
    (revision,) = repository.revisions
    assert revision.refs == {"main"}, revision.refs
    names = sorted(str(f.file_path.relative_to(revision.snapshot_path)) for f in revision.files)
    assert len(names) == 12, names
    for name in names:
        path = hub.try_to_load_from_cache(REPOSITORY, name)
        assert isinstance(path, str) and os.path.isfile(path), name
        assert hub.hf_hub_download(REPOSITORY, name, local_files_only=True) == path
    # Where huggingface_hub has stored its list of all files, it misses those that no model needs.
    has_list = os.path.isdir(os.path.join(repository.repo_path, "trees"))
    patterns = WANTED if has_list else None
    folder = hub.snapshot_download(REPOSITORY, local_files_only=True, allow_patterns=patterns)
    assert folder == str(revision.snapshot_path), folder
    print(f"{len(names)} files, {repository.size_on_disk} bytes")


def fetch():
    print(hub.snapshot_download(REPOSITORY, allow_patterns=WANTED))


def main():
    match sys.argv[1:]:
        case ["see"]:
            see()
        case ["fetch"]:
            fetch()
        case ["die", pid_file]:
            with open(pid_file, "w") as file:
                file.write(str(os.getpid()))
            fetch()
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
