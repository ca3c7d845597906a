"""What can be asked for on the command line, a dataclass a command."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

import tyro

from metaflax import config as config_lib

# Given or not; a setting that is true or false takes its value, to be overridden.
Flag = tyro.conf.FlagCreatePairsOff[bool]


@dataclasses.dataclass(frozen=True)
class Quickstart:
    """Meta-train on tweets and films, test on product reviews; five minutes, no hub."""

    run_dir: Path = Path("runs/quickstart")
    """Where the run is kept; the same command again resumes it."""
    steps: int | None = None
    """Outer steps, fewer for a quick look."""
    test_episodes: int | None = None
    """Test episodes."""
    profile: Flag = False
    """Say first where the time of one training step goes."""


@dataclasses.dataclass(frozen=True)
class Machines:
    """Several devices, and several processes with devices of their own."""

    devices: Literal["all", "one"] = "all"
    """Whether all devices share the tasks of a step, as far as they can be divided."""
    param_shards: int = 1
    """How many devices share a copy of parameters and optimizer state (FSDP)."""
    distributed: Flag = False
    """Join the other processes of a Slurm, Open MPI, Kubernetes or TPU job."""
    coordinator: str | None = None
    """Address and port of process 0, where there is no such job to ask."""
    num_processes: int | None = None
    """How many processes there are, likewise."""
    process_id: int | None = None
    """Which of them this is, from 0, likewise."""
    heartbeat: int = 30
    """Seconds for which a process may be silent before the others end."""

    @property
    def shared_by(self) -> int | None:
        """How many devices share a copy of the parameters; None for one device."""
        return self.param_shards if self.devices == "all" else None


@dataclasses.dataclass(frozen=True)
class Train:
    """Meta-train on your labelled text, then meta-test before and after."""

    settings: tyro.conf.FlagConversionOff[config_lib.Config] = dataclasses.field(
        default_factory=config_lib.Config
    )
    config: Path | None = None
    """Python file with a `config`, such as those under experiments/; the other options
    override it."""
    run_dir: Path = Path("runs/run")
    """Where the run is kept; the same command again resumes it."""
    profile: Flag = False
    """Say first where the time of one training step goes."""
    machines: Machines = Machines()


@dataclasses.dataclass(frozen=True)
class New:
    """Make a language model to meta-train from the beginning, and its tokenizer."""

    out: Path
    """Directory to write, in Hugging Face's format; `train --model` takes it."""
    texts: Path | None = None
    """File that the tokenizer learns from: texts of meta-training alone."""
    columns: tuple[str, ...] = ("text", "target")
    """Its columns of texts, where it has columns."""
    family: Literal["gpt", "seq2seq", "bert"] = "seq2seq"
    """One network that goes on with texts; one that reads and one that says; or one
    that reads alone."""
    encoder: str | None = None
    """Directory or hub name of a BERT to read with, or minilm; its tokenizer and sizes
    then are the model's, and `texts` is not read."""
    vocab_size: int = 4000
    """Words of the tokenizer."""
    width: int = 128
    """Features of a token."""
    layers: int = 2
    """Of each network, or of the one that says."""
    heads: int = 4
    """Attention heads of a layer."""
    positions: int = 256
    """The longest text in tokens."""
    seed: int = 0
    """Draws the weights."""


# Settings of meta-testing that `evaluate` may change.
OF_EVALUATION = ("test_episodes", "test_seed", "num_beams", "repetition_penalty")


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Meta-test a run: other shots, more episodes, baselines on the same ones."""

    run: tyro.conf.Positional[Path]
    """Run directory of `train` or `quickstart`."""
    name: str = "evaluation"
    """Of the files written into the run directory."""
    way: int | None = None
    """Classes an episode, where it differs from the run's."""
    shot: int | None = None
    """Support examples a class, likewise."""
    queries: int | None = None
    """Query examples a class, likewise."""
    test_episodes: int | None = None
    """How many, likewise."""
    test_seed: int | None = None
    """Draws them, likewise."""
    num_beams: int | None = None
    """Texts pursued side by side to generate one, likewise."""
    repetition_penalty: float | None = None
    """Above 1, makes words less likely that a text has said before, likewise."""
    baselines: tuple[str, ...] = ()
    """frozen, fine_tuning: scored on the same episodes."""
    inner_optimizer: str | None = None
    """With which fine_tuning adapts, where it differs from the run's."""
    inner_learning_rate: float | None = None
    """Its rate, likewise."""
    num_steps: int | None = None
    """Its steps, likewise."""
    export: tuple[int, ...] = ()
    """Numbers of episodes to write as support.jsonl and query.jsonl."""
    out_of_scope: Path | None = None
    """File of texts that belong to no class: how well queries are told from them."""
    shots: tuple[int, ...] = ()
    """Numbers of support examples, for a curve over them."""
    inner_steps: tuple[int, ...] = ()
    """Numbers of inner steps, for a curve over them, where the algorithm takes such."""


@dataclasses.dataclass(frozen=True)
class Adapt:
    """Learn a new task from a few labelled texts; writes a Hugging Face directory."""

    support: Path
    """JSONL, CSV or Parquet file of labelled texts."""
    out: Path
    """Directory to write."""
    run: Path | None = None
    """Meta-trained run directory; without it a pretrained model adapts as it is."""
    model: str = "minilm"
    """Directory or hub name of a pretrained model, where there is no run."""
    algorithm: str = "frozen"
    """How it adapts, where there is no run; what generates takes fine_tuning."""
    task: str = "classification"
    """Task type, where there is no run."""


@dataclasses.dataclass(frozen=True)
class Predict:
    """Label texts with an adapted directory, from a file or standard input."""

    model: Path
    """What `adapt` wrote, or any BERT sequence classifier, GPT-2 or encoder-decoder of
    Hugging Face."""
    relations: Path | None = None
    """Another, for relations: entities that the model finds become triples by it."""
    texts: str = "-"
    """A file with a text a line, JSONL, CSV or Parquet; - for standard input."""
    out: str = "-"
    """File to write; - for standard output."""
    format: Literal["jsonl", "csv"] = "jsonl"
    """Of the answers."""
    column: str = "text"
    """Column of texts, where the file has columns."""
    column_pair: str = "text_pair"
    """Column of second texts, likewise."""
    input_format: Literal["lines", "jsonl", "csv", "tsv"] | None = None
    """Of the texts, where the file's name does not say."""
    batch_size: int = 32
    """Texts answered together at most."""
    num_beams: int = 1
    """Texts pursued side by side to generate one; 1 for the likeliest word always."""
    repetition_penalty: float = 1.0
    """Above 1, makes words less likely that a generated text has said before."""
    max_new: int | None = None
    """Most tokens of a text that is generated, where it differs from training's."""
    explain: Flag = False
    """Say why: the nearest support texts, and how much each word adds to the answer."""
    nearest: int = 3
    """How many support texts."""
    explain_steps: int = 64
    """Gradients from which what words add is computed; more are more exact."""


@dataclasses.dataclass(frozen=True)
class Export:
    """Write the model of a run, adapted to nothing; `train --model` starts from it."""

    run: Path
    """Meta-trained run directory."""
    out: Path
    """Directory to write, in Hugging Face's format."""


@dataclasses.dataclass(frozen=True)
class Finetune:
    """Fine-tune on your own labelled set, from the meta-trained and the plain model."""

    run: Path
    """Meta-trained run directory."""
    train: Path
    """Labelled texts to fine-tune on."""
    test: Path
    """Labelled texts to score on."""
    out: Path | None = None
    """Where to write the fine-tuned meta-trained model."""
    epochs: int = 10
    """Passes over the training texts."""
    batch_size: int = 16
    """Texts a step."""
    learning_rate: float = 5e-5
    """Of the encoder."""
    head_learning_rate: float = 1e-3
    """Of the new output layer."""
    seed: int = 0
    """Draws the order of texts and dropout."""


@dataclasses.dataclass(frozen=True)
class Pretrain:
    """Pretrain a BERT on raw text, by words masked in it; `train` takes the result."""

    settings: tyro.conf.FlagConversionOff[config_lib.PretrainConfig] = (
        dataclasses.field(default_factory=config_lib.PretrainConfig)
    )
    run_dir: Path = Path("runs/pretrain")
    """Where the run is kept, its model in the folder `model`; the same command again
    resumes it."""
    machines: Machines = Machines()


@dataclasses.dataclass(frozen=True)
class Augment:
    """Give labelled texts variants, words of them replaced by a pretrained BERT."""

    data: str
    """JSONL, CSV, TSV or Parquet file or pattern of files, saved data set, hub name."""
    model: str
    """Directory or hub name of a BERT that says masked words; `pretrain` makes one."""
    out: Path
    """JSONL file to write: all rows and columns, and a column variants, which `train
    --variants variants` reads in meta-training alone."""
    text: str = "text"
    """Column of texts."""
    split: str | None = None
    """Which split of a hub data set or saved data set to read."""
    variants: int = 4
    """How many of each text."""
    share: float = 0.15
    """Share of a text's words that each replaces, at least one."""
    temperature: float = 1.0
    """Of what is drawn: below 1 likelier words, above 1 rarer ones."""
    top_k: int = 20
    """From how many words each is drawn, the likeliest ones but the word itself."""
    max_length: int = 128
    """Most tokens of a text that are read; words beyond stay as they are."""
    seed: int = 0
    """Draws which words, and what stands in their places."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Give texts without labels made-up classes, to meta-train on as well."""

    texts: str
    """File of texts: a text a line, or JSONL, CSV, TSV or Parquet."""
    out: Path
    """JSONL file of texts and labels to write."""
    clusters: int
    """How many classes to make."""
    run: Path | None = None
    """Meta-trained run whose encoder says which texts lie together; without it a
    pretrained one does."""
    model: str = "minilm"
    """Directory or hub name of a pretrained encoder, where there is no run."""
    column: str = "text"
    """Column of texts, where the file has columns."""
    seed: int = 0
    """Where k-means begins."""


@dataclasses.dataclass(frozen=True)
class Mix:
    """Meta-train one encoder on many kinds of tasks, and on masked words, at once."""

    config: Path
    """Python file with a `config = metaflax.config.MixtureConfig(...)`, such as
    experiments/smlmt/mixture.py."""
    run_dir: Path = Path("runs/mixture")
    """Where the run is kept, its encoder in the folder `model`, and each member in
    `members/NAME`, which `evaluate` and `adapt --run` take; the same command again
    resumes it."""
    machines: Machines = Machines()


@dataclasses.dataclass(frozen=True)
class Replay:
    """Take one step of a run again, episode by episode, to see where numbers end."""

    run: tyro.conf.Positional[Path]
    """Run directory of `train`; nothing in it is changed."""
    step: int | None = None
    """Which step, counted from 1; the one that ended the run unless given."""


@dataclasses.dataclass(frozen=True)
class Search:
    """Try settings out on validation classes, meta-test unseen; the best is kept."""

    config: Path
    """Python file with a `config = metaflax.config.SearchConfig(...)`."""
    run_dir: Path = Path("runs/search")
    """Where the search is kept, its best settings in `best.py`; the same command again
    goes on, and others may work on it at the same time."""
    trials: int | None = None
    """How many settings are tried in all, where it differs from the file's."""


@dataclasses.dataclass(frozen=True)
class Fairness:
    """See how far a classifier's answers move when names or genders are swapped."""

    model: Path
    """What `adapt` wrote, or any BERT sequence classifier of Hugging Face."""
    templates: Path
    """File of texts that have such words, or places for them, as `{names} is late`."""
    swaps: Path | None = None
    """JSON with groups of pairs of words, as {"gender": [["he", "she"]]}; by default
    small lists of gender, names and companies."""
    out: Path = Path("fairness.json")
    """File to write."""
    column: str = "text"
    """Column of texts, where the file has columns."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Write the page of an evaluation again, tables and plots in one file."""

    run: tyro.conf.Positional[Path]
    """Run directory that `evaluate` has scored."""
    name: str = "evaluation"
    """Of the evaluation: the page is NAME.html in the run directory."""


@dataclasses.dataclass(frozen=True)
class Compare:
    """Compare runs that were evaluated on the same episodes, the first with each."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run directories that `evaluate` has scored, two or more."""
    name: str = "evaluation"
    """Of their evaluations."""
    out: Path | None = None
    """HTML file to write; none unless given."""


Command = (
    Quickstart
    | New
    | Pretrain
    | Augment
    | Cluster
    | Train
    | Mix
    | Evaluate
    | Adapt
    | Predict
    | Export
    | Finetune
    | Replay
    | Search
    | Fairness
    | Report
    | Compare
)
COMMANDS = get_args(Command)
