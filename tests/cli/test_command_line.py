"""What a user meets before any work is done: help, errors, exit statuses, streams, and how fast it answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from in_process import Invoke
from packaging.requirements import Requirement
from syrupy.assertion import SnapshotAssertion

from edgec.cli import explain, failure, terminal
from edgec.core.codes import catalogue
from edgec.core.codes.usage import BAD_SHAPE
from edgec.core.errors import EdgecError

EDGEC = [sys.executable, "-m", "edgec"]
VERBS = [
    *("build", "analyze", "verify", "run", "report", "diff", "doctor", "explain", "init"),
    *("targets list", "targets show", "targets validate", "passes list", "passes show"),
]


@pytest.mark.parametrize("verb", ["", *VERBS, "targets", "passes"])
def test_help(invoke: Invoke, verb: str, snapshot: SnapshotAssertion) -> None:
    outcome = invoke(*verb.split(), "--help")
    assert outcome.status == 0
    assert outcome.out == snapshot


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_can_answer_with_json(invoke: Invoke, verb: str) -> None:
    assert "--json" in invoke(*verb.split(), "--help").out


@pytest.mark.parametrize("arguments", [["--help"], ["targets", "list"], ["explain", "EC0401"]])
def test_it_answers_at_once(arguments: list[str]) -> None:
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run([*EDGEC, *arguments], stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        # Processor time: other processes on this machine must not fail the test.
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(times) < 0.3, times


def test_no_verb_shows_the_help_and_is_wrong_usage(invoke: Invoke) -> None:
    outcome = invoke()
    assert outcome.status == 2
    assert "Usage: edgec" in outcome.err


def test_the_version(invoke: Invoke) -> None:
    assert re.fullmatch(r"edgec \d+\.\d+\.\d+\n", invoke("--version").out)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["fly"], "no such command 'fly'"),
        (["build", "--fly"], "no such option: --fly"),
        (["build", "m.onnx", "--threads", "many"], "'--threads'"),
        (["build", "m.onnx", "--threads", "0"], "'--threads'"),
        (["build", "m.onnx", "--seed", "-1"], "'--seed'"),
        (["run", "artifact"], "'--input'"),
        (["report", "artifact", "--format", "pdf"], "'--format'"),
        (["verify"], "'ARTIFACT'"),
        (["verify", "a", "--samples", "0"], "'--samples'"),
    ],
)
def test_wrong_usage_names_what_is_wrong(invoke: Invoke, arguments: list[str], what: str) -> None:
    outcome = invoke(*arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err.startswith("error[EC0101]: ")
    assert what in outcome.err
    assert "--help` shows what it takes" in outcome.err


@pytest.mark.parametrize(
    "shape", ["x", "=1", "x=a", "x=1,,2", "x=-1", "x=0", "x=1.5", "x=99999999999", "x=1,2,", "x=１", "x=1;2"]
)
def test_a_faulty_shape_is_shown_as_it_was_typed(invoke: Invoke, relu_file: Path, shape: str) -> None:
    outcome = invoke("analyze", relu_file, "--shape", shape)
    assert outcome.status == 2
    assert f"--> --shape {shape}" in outcome.err
    assert "--shape NAME=1,3,224,224" in outcome.err


def test_a_shape_given_twice_is_an_error(invoke: Invoke, relu_file: Path) -> None:
    assert "given twice" in invoke("analyze", relu_file, "--shape", "x=1,4", "--shape", "x=1,4").err


def test_an_error_has_code_place_details_and_hint() -> None:
    error = EdgecError(BAD_SHAPE, "two\nlines", where="here", hint="do this", details=("one", "two"))
    assert failure.render(error, colour=False) == (
        "error[EC0102]: two\n  lines\n  --> here\n  - one\n  - two\n\nhint: do this\n"
    )


def test_colour_changes_nothing_but_colour() -> None:
    error = EdgecError(BAD_SHAPE, "what", where="here", hint="do this", details=("one",))
    plain = re.sub(r"\x1b\[[0-9;]*m", "", failure.render(error, colour=True))
    assert plain == failure.render(error, colour=False)


def test_names_from_files_cannot_drive_the_terminal() -> None:
    error = EdgecError(BAD_SHAPE, "node \x1b[2J\x07", where="\x1b]0;title\x07", hint="\u202ereversed", details=("\r",))
    rendered = failure.render(error, colour=False)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", rendered)
    assert "\\x1b[2J" in rendered


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"CI": "true"}, False), ({"TERM": "dumb"}, False)],
)
def test_when_to_colour(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: bool) -> None:
    for name in ("NO_COLOR", "CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert terminal.coloured(True) is expected
    assert terminal.coloured(False) is False


def test_a_bug_gives_a_log_and_no_traceback(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("edgec.doctor.examine", broken)
    outcome = invoke("doctor")
    assert outcome.status == 70
    assert outcome.err.startswith("error[EC0999]: ")
    assert "Traceback" not in outcome.err
    assert "report" in outcome.err
    log = re.search(r"--> (\S+\.log)", outcome.err)
    assert log is not None
    assert "Traceback" in Path(log[1]).read_text()
    assert "ZeroDivisionError" in Path(log[1]).read_text()


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (MemoryError(), 4, "EC0109"),
        (OSError(28, "No space left on device"), 2, "EC0106"),
        (OSError(30, "Read-only file system", "/x"), 2, "EC0106"),
        (PermissionError(13, "Permission denied", "/x"), 2, "EC0105"),
        (FileNotFoundError(2, "No such file", "/x"), 2, "EC0105"),
    ],
)
def test_errors_of_the_system_are_explained(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, problem: Exception, status: int, code: str
) -> None:
    def failing() -> None:
        raise problem

    monkeypatch.setattr("edgec.doctor.examine", failing)
    outcome = invoke("doctor")
    assert (outcome.status, code in outcome.err, "hint: " in outcome.err) == (status, True, True)


def test_an_interrupt_is_no_error(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgec.doctor.examine", interrupted)
    assert invoke("doctor").status == 130


def test_a_reader_that_stops_reading_is_no_error() -> None:
    process = subprocess.Popen([*EDGEC, "explain"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


@pytest.mark.parametrize("arguments", [["targets", "list"], ["explain", "--json"], ["--help"], ["--version"]])
def test_a_full_disk_behind_stdout_is_an_error(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*EDGEC, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert "error[EC0106]" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_terminal_that_knows_ascii_only(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    ended = subprocess.run(
        [*EDGEC, "verify", str(tmp_path / "größe")], env=environment, capture_output=True, check=False
    )
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr
    assert ended.stderr.isascii()


def test_a_polite_kill_ends_with_its_status() -> None:
    program = (
        "import sys, time, edgec.doctor, edgec.cli.main as m\n"
        "def wait():\n print('ready', file=sys.stderr, flush=True); time.sleep(30)\n"
        "edgec.doctor.examine = wait\n"
        "sys.exit(m.main(['doctor']))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert process.stderr.read() == ""


def test_explain_lists_every_code(invoke: Invoke) -> None:
    rows = json.loads(invoke("explain", "--json").out)
    assert [row["code"] for row in rows] == list(catalogue())
    assert all(code in invoke("explain").out for code in catalogue())


@pytest.mark.parametrize("spelling", ["EC0401", "ec0401", "[EC0401]", "401", "0401"])
def test_explain_takes_any_spelling(invoke: Invoke, spelling: str) -> None:
    outcome = invoke("explain", spelling)
    assert outcome.out.startswith("EC0401: ")
    assert "exit status: 4" in outcome.out


def test_explain_knows_what_is_near() -> None:
    with pytest.raises(EdgecError) as caught:
        explain.find("EC0408")
    assert "EC040" in caught.value.hint


def test_init_writes_a_file_that_loads_and_never_overwrites(invoke: Invoke, tmp_path: Path) -> None:
    from edgec.core.configuration import load_project

    assert invoke("init", tmp_path).status == 0
    load_project(tmp_path / "edgec.toml")
    uncommented = re.sub(r"(?m)^# (?=[\[a-z][\w.\-\]]* ?(=|$|\]))", "", (tmp_path / "edgec.toml").read_text())
    (tmp_path / "all.toml").write_text(uncommented)
    assert load_project(tmp_path / "all.toml").models == {"classifier": "models/classifier.onnx"}
    (tmp_path / "edgec.toml").write_text("mine")
    again = invoke("init", tmp_path)
    assert (again.status, "EC0108" in again.err) == (2, True)
    assert (tmp_path / "edgec.toml").read_text() == "mine"


def test_doctor_names_what_is_there_and_what_is_missing(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = {finding["name"]: finding for finding in json.loads(invoke("doctor", "--json").out)}
    assert findings["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert findings["onnxruntime"]["version"]
    assert findings["qemu-aarch64"]["version"] is None
    text = invoke("doctor")
    assert text.status == 0
    assert "qemu-aarch64 is missing: apt install qemu-user" in text.out


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["analyze", "model.onnx", "--link", "wifi"], "--split"),
        (["analyze", "model.onnx", "--server", "host"], "--split"),
        (["build", "model.onnx", "-t", "host", "--board", "ssh://board"], "--tune"),
    ],
)
def test_an_option_that_says_nothing_is_refused(invoke: Invoke, arguments: list[str], missing: str) -> None:
    outcome = invoke(*arguments)
    assert outcome.status == 2
    assert f"{arguments[-2]} says nothing without {missing}" in outcome.err


def test_doctor_knows_every_library_that_edgec_can_use(invoke: Invoke) -> None:
    listed = {finding["name"]: finding for finding in json.loads(invoke("doctor", "--json").out)}
    wanted = [Requirement(text) for text in requires("edgec") or ()]
    used = {each.name for each in wanted if 'extra == "dev"' not in str(each.marker)} - {"edgec"}
    assert used <= listed.keys()
    assert all(listed[each.name]["required"] for each in wanted if each.marker is None)


def test_doctor_fails_if_something_required_is_missing(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgec.doctor._library_version", lambda name: None)
    outcome = invoke("doctor")
    assert outcome.status == 3
    assert "numpy is missing and required" in outcome.out


def test_targets_and_passes_are_listed_and_shown(invoke: Invoke) -> None:
    names = [row["name"] for row in json.loads(invoke("targets", "list", "--json").out)]
    assert "raspberry-pi-4" in names
    assert json.loads(invoke("targets", "show", "raspberry-pi-4", "--json").out)["name"] == "raspberry-pi-4"
    assert "source" in invoke("targets", "show", "raspberry-pi-4").out
    assert "raspberry-pi-4" in invoke("targets", "show", "raspbery-pi-4").err
    passes = [row["name"] for row in json.loads(invoke("passes", "list", "--json").out)]
    assert "fold-batch-norm" in passes
    assert "growth_limit" in invoke("passes", "show", "fold-constants").out
    assert "properties" in json.loads(invoke("passes", "show", "fold-constants", "--json").out)["options"]
    assert "fold-constants" in invoke("passes", "show", "fold-constant").err
