"""Adaptation to a new task from a file of labelled texts."""

from pathlib import Path

from rich.console import Console

from metaflax import config as config_lib
from metaflax._files import check_absent
from metaflax.config._unused import unused_notes
from metaflax.workflows.inference import _request
from metaflax.workflows.inference._adapted_encoder import AdaptedEncoder
from metaflax.workflows.inference._adapted_generator import AdaptedGenerator
from metaflax.workflows.runs._console import console_or_quiet, report_notes


def adapt(
    support_file: str | Path,
    out: str | Path,
    console: Console | None = None,
    *,
    run_dir: str | Path | None = None,
    config: config_lib.Config | None = None,
    keep_context: bool = False,
    choose_head: bool | None = None,
    unlabelled_texts: str | Path | None = None,
    label_names: str | None = None,
    label_name_weight: float | None = None,
    **columns: str | None,
) -> Path:
    r"""Adapts a model to a new task from a file of labelled texts.

    Args:
      support_file: labelled texts, as for `data.read`.
      out: directory to write, in Hugging Face's format.
      console: where a summary goes; None for nowhere.
      run_dir: a meta-trained run; None for the pretrained model of `config`.
      config: model, algorithm and task type without a run.
      keep_context: whether a model adapted in context (metaicl) keeps the keys and
        values of its support set beside the texts, so that they are not encoded again
        when it is loaded.
      choose_head: whether to choose among heads by cross-validation on the support set,
        see `HeadChoice`; the choice is printed on standard error. None for a choice
        where `config` names no head of classes of single texts below frozen weights.
      unlabelled_texts: file of texts without labels, as for `data.read_texts`, with the
        columns and encoding of the support file, for heads that learn from such texts,
        soft_k_means and label_propagation.
      label_names: names of classes as further support examples, see
        `config.DataConfig`, or `none` (default: those of the run or config).
      label_name_weight: weight of such a name beside a support example (default: that
        of the run or config).
      **columns: columns of the file by their setting in `config.DataConfig`, such as
        `text` and `label`, and `unlabelled`, `label_separator`, `split` and `encoding`
        (default: those of the run or config; no split and encoding).

    Returns:
      The directory.

    Raises:
      ValueError: for a file that cannot be used, or with more classes than a learned
        output layer has, for both a run and a config, for a context to keep where
        there is none, for texts without labels where the head takes none, or for a
        class without a description.

    Examples:
      >>> import pathlib, tempfile
      >>> import metaflax
      >>> from metaflax import config, workflows
      >>> sizes = {"vocab_size": 40, "width": 8, "layers": 1, "heads": 2}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     support = pathlib.Path(folder) / "pets.csv"
      ...     tiny = support.with_name("tiny")
      ...     texts = ["it barks", "it purrs"]
      ...     _ = workflows.new_language_model(tiny, texts, family="bert", **sizes)
      ...     _ = support.write_text("text,label\nit barks,dog\nit purrs,cat\n")
      ...     settings = config.Config(
      ...         model=config.ModelConfig(name=str(tiny)),
      ...         data=config.DataConfig(max_length=8),
      ...         algorithm=config.AlgorithmConfig(name="frozen"),
      ...     )
      ...     pets = workflows.adapt(support, tiny.with_name("pets"), config=settings)
      ...     print([row["label"] for row in metaflax.load(pets)(texts)])
      ['dog', 'cat']
    """
    console = console_or_quiet(console)
    target = Path(out).expanduser()
    check_absent(target)
    request = _request.request(
        support_file,
        run_dir,
        config,
        columns,
        keep_context=keep_context,
        choose_head=choose_head,
        has_unlabelled=unlabelled_texts is not None,
        label_names=label_names,
        label_name_weight=label_name_weight,
    )
    examples = request.read_support()
    report_notes(examples.notes, console)
    names = request.names_of(examples)
    trained = request.load(len(names))
    if run_dir is None:
        model = trained.model
        notes = unused_notes(request.config, model.encoder, model.init)
        report_notes(notes, console)
    given = request, trained, examples, names
    if request.task.is_generative:
        adapted = AdaptedGenerator.learn(*given)
    else:
        adapted = AdaptedEncoder.learn(*given, unlabelled_texts)
    adapted.save(target)
    for line in adapted.report(target):
        console.print(line, soft_wrap=True)
    return target
