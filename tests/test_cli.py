"""Tests for the command line itself; tests of the commands are in workflows/."""

import dataclasses
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from metaflax import cli, workflows
from metaflax import config as config_lib
from metaflax.cli._options import options_of
from metaflax.cli._renamed import RENAMED
from metaflax.cli.commands._table import COMMANDS

CONFIG = """
from metaflax.config import Config, DataConfig, EpisodeConfig, TrainingConfig
config = Config(
    data=DataConfig(path="mine.jsonl", split_names={"train": ("a",)}),
    episodes=EpisodeConfig(way=(2, 4)),
    training=TrainingConfig(steps=9, learning_rate=0.5),
)
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "config.py"
    path.write_text(CONFIG)
    return path


@pytest.mark.parametrize("form", [["--config", "{}"], ["--config={}"]])
def test_options_override_a_config_file(form, config_file):
    option = [part.format(config_file) for part in form]
    command = cli.parse(["train", *option, "--steps", "3"])
    settings = command.settings
    assert (settings.training.steps, settings.training.learning_rate) == (3, 0.5)
    assert settings.data == config_lib.load_file(config_file).data
    assert settings.episodes.way == (2, 4)


def test_without_options_a_run_has_the_defaults():
    assert cli.parse(["train"]).settings == config_lib.Config()


@pytest.mark.parametrize(
    ("option", "group", "name", "value"),
    [
        (["--way", "3"], "episodes", "way", 3),
        (["--shot", "2", "5"], "episodes", "shot", (2, 5)),
        (["--train-way", "8"], "episodes", "train_way", 8),
        (["--adapts", "head", "encoder/layer_1/*"], "algorithm", "adapts", None),
        (["--interpolate", "1.0", "0.5"], "training", "interpolate", (1.0, 0.5)),
        (["--patience", "None"], "training", "patience", None),
        (["--task-loop", "3"], "training", "task_loop", 3),
        (["--task-loop", "vmap"], "training", "task_loop", "vmap"),
        (["--dropout", "False"], "training", "dropout", False),
        (["--fold", "01"], "data", "fold", "01"),
    ],
)
def test_options_have_the_types_of_their_settings(option, group, name, value):
    settings = cli.parse(["train", *option]).settings
    expected = tuple(option[1:]) if name == "adapts" else value
    assert getattr(getattr(settings, group), name) == expected


@pytest.mark.parametrize("command", ["train", "quickstart"])
def test_a_profile_is_asked_for_by_a_flag(command):
    assert cli.parse([command, "--profile"]).profile
    assert not cli.parse([command]).profile


@pytest.mark.parametrize("model", [None, "minilm", "a/directory"])
def test_a_quickstart_starts_from_any_model(model, monkeypatch):
    configs = []
    monkeypatch.setattr(
        workflows, "train", lambda config, *_, **__: configs.append(config)
    )
    cli.main(["quickstart", *(["--model", model] if model else [])])
    default = workflows.quickstart_config()
    assert default.model == config_lib.ModelConfig(name="mpnet")
    name = config_lib.ModelConfig(name=model or "mpnet")
    assert configs == [dataclasses.replace(default, model=name)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_each_of_its_options(command, capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main([command, "--help"])
    assert exit_info.value.code == 0
    output = capsys.readouterr().out
    assert f"usage: metaflax {command}" in output
    for option in options_of(COMMANDS[command]):
        unnamed = re.search("Positional|Fixed", str(option.kind))
        assert unnamed or f"--{option.name.replace('_', '-')} " in output


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns_without_names_of_python_types(
    command, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()[1:]  # Usage wraps by itself.
    assert max(map(len, lines)) <= 80
    assert not re.search(r"\b(INT|FLOAT|STR)\b|\{None|\(default: \)", "\n".join(lines))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_examples_that_parse(command, capsys):
    """Also with a link to the documentation; pipes and redirections are cut off."""
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    _, _, end = capsys.readouterr().out.partition("\nExamples:\n")
    examples = re.findall(r"^  .*?metaflax ([^>\n]+)", end, re.M)
    assert examples
    for example in examples:
        cli.parse(shlex.split(example))
    for page in re.findall(r"See also (\S+)\.$", end):
        assert (pathlib.Path(__file__).parents[1] / page).is_file()


def test_splits_by_name_are_for_config_files_alone(config_file, capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--split-names", "train", "a", "valid", "b"])
    assert "--split-names" in capsys.readouterr().err
    data = cli.parse(["train", "--config", str(config_file)]).settings.data
    assert data.split_names == {"train": ("a",)}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_option_stands_alone(command):
    for option in options_of(COMMANDS[command]):
        assert len(option.help.split()) >= 3, option
        assert option.help.endswith("."), option
        vague = re.search(r"likewise|^(Its|Their|Of|The same)\b", option.help)
        assert not vague, option


@pytest.mark.parametrize("command", ["train", "evaluate", "predict"])
def test_every_decoding_setting_is_an_option(command):
    options = {option.name for option in options_of(COMMANDS[command])}
    settings = {f.name for f in dataclasses.fields(config_lib.DecodingConfig)}
    assert settings <= options


@pytest.mark.parametrize(
    "args", [["evaluate", "runs/one"], ["predict", "--model", "one"]]
)
def test_only_decoding_settings_that_are_given_override(args):
    given = cli.parse([*args, "--num-beams", "4"])
    assert given.decoding == {"num_beams": 4}  # pyright: ignore
    assert cli.parse(args).decoding == {}  # pyright: ignore


def test_the_options_that_people_need_first_come_first(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    output = capsys.readouterr().out
    options = re.findall(r"^. --([a-z-]+)", output, re.M)
    assert options[:10] == [
        *("data", "task", "model", "algorithm", "way", "shot", "queries", "steps"),
        *("run-dir", "config"),
    ]
    titles = re.findall(r"^\W* ([a-z: ]*options) \W*$", output, re.M)
    assert titles[0] == "options"
    assert len(titles) > 5
    assert all(title.startswith("advanced") for title in titles[1:])


def completions(words, script, directory):
    """The completions of the last word in bash."""
    lines = [f"source {script}", f"COMP_WORDS=({shlex.join(words)})"]
    lines += [f"COMP_CWORD={len(words) - 1}", "_metaflax", 'echo "${COMPREPLY[@]}"']
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_bash_completes_commands_options_and_names(tmp_path, capsys):
    assert cli.main(["completion", "bash"]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    for words, found in [
        (["tr"], ["train"]),
        (["train", "--learning"], ["--learning-rate"]),
        (["train", "--steps", "3", "--sho"], ["--shot"]),
        (["train", "--algorithm", "proto"], ["proto_maml", "protonet"]),
        (["train", "--data", "scr"], ["script"]),
        (["train", "--dtype", ""], ["bfloat16", "float32"]),
        (["report", "scr"], []),  # Left to bash, which completes names of files.
    ]:
        completed = completions(["metaflax", *words], script, tmp_path)
        assert sorted(completed) == found


def test_a_shell_without_a_script_is_refused(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["completion", "ksh"])
    assert exit_info.value.code == 2
    assert "bash" in capsys.readouterr().err


def test_the_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["--help"])
    assert exit_info.value.code == 0
    output = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n  {command} " in output


@pytest.mark.parametrize(
    ("option", "new"),
    [
        (["--tasks-by", "vmap"], "--task-loop"),
        (["--tasks_by=vmap"], "--task-loop"),
        (["--layers-by", "scan"], "--layer-loop"),
        (["--most-skipped", "2"], "--max-skipped-steps"),
    ],
)
def test_former_names_of_options_are_accepted_with_a_warning(option, new):
    warnings = []
    former = cli.parse(["train", *option], warnings.append)
    [warning] = warnings
    assert f"is now {new}" in warning
    value = option[-1].rpartition("=")[2]
    assert former == cli.parse(["train", new, value])


def test_every_former_name_leads_to_an_option():
    options = [
        f"--{option.name.replace('_', '-')}"
        for command in COMMANDS.values()
        for option in options_of(command)
    ]
    assert set(RENAMED.values()) <= set(options)
    assert not set(RENAMED) & set(options)


def test_an_unknown_command_is_named_with_the_most_similar_one(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["trian", "--data", "x.csv"])
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("metaflax: 'trian' is no command. Did you mean train?")
    assert all(command in error for command in COMMANDS)


@pytest.mark.parametrize("args", [["sorcery"], ["train", "--sorcery", "1"], []])
def test_unknown_commands_and_options_exit_with_2(args, capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(args)
    assert exit_info.value.code == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no config file"), ("config = (\n", "SyntaxError")],
)
def test_a_config_file_that_cannot_be_used_is_one_sentence(
    content, message, tmp_path, capsys
):
    path = tmp_path / "config.py"
    if content is not None:
        path.write_text(content)
    args = ["train", "--config", str(path), "--run-dir", str(tmp_path / "run")]
    assert cli.main(args) == 2
    error = capsys.readouterr().err
    assert error.startswith("metaflax: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "metaflax: interrupted; the same command resumes"),
        (ValueError("[red]wrong[/red]."), 2, "metaflax: [red]wrong[/red].\n"),
        (FileNotFoundError(2, "No such file", "x.csv"), 2, "metaflax: x.csv: No such"),
        (OSError("disk full"), 2, "metaflax: disk full."),
    ],
)
def test_what_stops_a_command_is_said_in_a_sentence(
    error, code, message, tmp_path, monkeypatch, capsys
):
    def stopped(command, console):
        raise error

    monkeypatch.setenv("METAFLAX_CACHE", str(tmp_path))
    monkeypatch.setattr("metaflax.cli._main.run", stopped)
    assert cli.main(["train"]) == code
    found = capsys.readouterr().err
    assert found.startswith(message)
    assert found.count("\n") == 1


def test_a_reader_that_leaves_early_is_no_error(tmp_path):
    """As `metaflax train --help | head` does."""
    command = [sys.executable, "-m", "metaflax", "train", "--help"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_help_does_not_wait_for_jax():
    """Importing jax takes half the time of a command that only prints help."""
    script = (
        "import sys; from metaflax import cli\n"
        "try:\n    cli.main(['--help'])\n"
        "finally:\n    print('transformers' in sys.modules, 'orbax' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines()[-1] == "False False"
