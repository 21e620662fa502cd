"""The commands are made from the configurations' fields, and what refuses a value names its option."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from carousel.cli import whole
from carousel.cli.commands import with_flags
from carousel.cli.options import build, flags
from carousel.errors import InputError
from carousel.forecasting.config import ForecastConfig, ForecasterConfig, SeriesConfig, WindowTraining
from carousel.labelling.config import LabellingConfig, LabelsConfig, LabelTraining
from carousel.labelling.model import LabellerConfig
from carousel.language.config import Config, TextConfig
from carousel.language.model import ModelConfig
from carousel.training.config import TrainConfig
from carousel.training.fields import settings
from carousel.transcription.config import ExamplesConfig, TranscriptionConfig, TranscriptionTraining
from carousel.transcription.model import TranscriberConfig
from carousel.translation.config import PairsConfig, PairTraining, TranslationConfig
from carousel.translation.model import TranslatorConfig
from carousel.tuning.axes import opposite

LANGUAGE, TRANSLATION = (TextConfig, ModelConfig, TrainConfig), (PairsConfig, TranslatorConfig, PairTraining)
TRANSCRIPTION = (ExamplesConfig, TranscriberConfig, TranscriptionTraining)
FORECASTING = (SeriesConfig, ForecasterConfig, WindowTraining)
LABELLING = (LabelsConfig, LabellerConfig, LabelTraining)
COMMANDS = {
    **{"train": LANGUAGE, "compare": LANGUAGE, "translate train": TRANSLATION},
    **{"transcribe train": TRANSCRIPTION, "forecast train": FORECASTING, "label train": LABELLING},
}
CONFIGS = {
    **{LANGUAGE: (Config, "text"), TRANSLATION: (TranslationConfig, "text")},
    **{TRANSCRIPTION: (TranscriptionConfig, "data"), FORECASTING: (ForecastConfig, "series")},
    LABELLING: (LabellingConfig, "data"),
}
NOT_COMPARED = {"cell", "forget_bias", "watch_gradients"}  # cells are several, and not all have a forget gate
RANGED = [
    (kind, name, about)
    for kinds in CONFIGS
    for kind in kinds
    for name, about in settings(kind).items()
    if (about.range or about.choices) and about.help
]


def options(words):
    """The options of a command, by the names of their parameters."""
    command = whole()
    for word in words.split():
        command = command.commands[word]
    return {p.name: p for p in command.params}


def outside(about):
    """Values next to a range, on the wrong side; or no choice."""
    if about.choices:
        return ["nothing"]
    step = 1 if isinstance(about.least or about.most, int) else 0.5
    low = [about.least - step] if about.least is not None else [about.above]
    return low + ([about.most + 1] if about.most is not None else [about.below] if about.below is not None else [])


@pytest.mark.parametrize("words", COMMANDS)
def test_each_field_is_an_option_with_its_default(words):
    found = options(words)
    for kind in COMMANDS[words]:
        for field in fields(kind):
            if field.name in flags(kind) and not (words == "compare" and field.name in NOT_COMPARED):
                option = found[field.name]
                assert option.opts == [flags(kind)[field.name]] and option.rich_help_panel == kind.group
                assert option.default == (False if field.type == "bool" else field.default), field.name
                assert "`" not in option.help
    assert words != "compare" or not NOT_COMPARED & set(found)


@pytest.mark.parametrize("kinds", [k for k in CONFIGS if k is not FORECASTING], ids=lambda kinds: kinds[0].__name__)
def test_every_field_is_set_by_an_option_or_is_known_not_to_be(kinds):
    left = {f.name for kind in kinds for f in fields(kind)} - {n for kind in kinds for n in flags(kind)}
    files, fixed = {"train", "valid", "test"}, {"cell_data"}
    fixed |= {"feed", "vary_length", "watch_gradients", "cuda_graph"} if kinds is not LANGUAGE else set()
    fixed |= {"length"} if kinds in (TRANSLATION, TRANSCRIPTION) else set()
    fixed |= {"embedding", "tied"} if kinds is TRANSCRIPTION else {"tied"} if kinds is LABELLING else set()
    assert left == files | fixed


def test_every_field_of_a_forecaster_is_set_by_an_option_or_is_known_not_to_be():
    left = {f.name for kind in FORECASTING for f in fields(kind)} - {n for kind in FORECASTING for n in flags(kind)}
    assert left == {"file", "tied", "cell_data", "feed", "vary_length", "watch_gradients", "cuda_graph"}


def test_no_option_gives_the_configurations_as_python_makes_them(carousel, text):
    assert carousel("train", text, "--epochs", 1, "--batch-size", 4, "--threads", 1, "--out", "run")[0] == 0
    config = Config.load(text.parent / "run")
    assert config.text == TextConfig([str(text)])
    assert config.model == ModelConfig()
    assert config.training == TrainConfig(epochs=1, batch_size=4, threads=1)


def test_each_switch_has_an_opposite_that_help_does_not_list(carousel):
    for words in COMMANDS:
        switches = [p for p in options(words).values() if getattr(p, "is_flag", False) and p.rich_help_panel]
        assert switches and all(p.secondary_opts == [opposite(p.opts[0])] for p in switches)
        _, told, _ = carousel(*words.split(), "--help")
        assert "--tied" in told or words != "train"
        assert set(re.findall(r"--no-[\w-]+", told)) <= {"--no-tied", "--no-spelling"}
        assert all(p.secondary_opts for p in switches)  # also after help


def test_the_command_line_turns_off_a_switch_of_a_recipe(carousel, text):
    cooked = text.parent / "own.toml"
    cooked.write_text('about = "Tied."\n[model]\ntied = true\nhidden = 6\nembedding = 6\n[training]\nepochs = 1\n')
    for k, (more, tied) in enumerate([((), True), (("--no-tied",), False), (("--tied",), True)]):
        given = ("--recipe", cooked, *more, "--threads", 1, "--out", f"run{k}")
        status, _, said = carousel("train", text, *given)
        assert status == 0, said
        assert Config.load(text.parent / f"run{k}").model.tied is tied


def test_the_option_of_what_is_on_turns_it_off():
    assert build(TranslatorConfig, {"tied": True}).tied and not build(TranslatorConfig, {"tied": False}).tied
    two = {"train": ["a", "b"]}
    assert build(PairsConfig, {"shared": False}, **two).shared and not build(PairsConfig, {"shared": True}, **two).shared


@pytest.mark.parametrize(
    ("kind", "name", "about"), RANGED, ids=lambda x: getattr(x, "__name__", x) if not hasattr(x, "help") else ""
)
def test_ranges_are_the_same_in_help_in_python_and_in_config_json(tmp_path, kind, name, about):
    kinds = next(kinds for kinds in CONFIGS if kind in kinds)
    words = next(words for words, own in COMMANDS.items() if own is kinds)
    option = options(words)[name]
    shown = option._get_number_range_help_str() or option.metavar or option.help
    assert all(choice in shown for choice in about.choices) and about.range in shown
    config, first = CONFIGS[kinds]
    part = dict(zip(kinds, (first, "model", "training"), strict=True))
    for value in outside(about):
        with pytest.raises(InputError, match=f"`{name}` (must be|is a probability)"):
            kind(**{name: value}).check()
        (tmp_path / "config.json").write_text(json.dumps({"kind": config.kind, part[kind]: {name: value}}))
        if (name, value) == ("projection", 0):  # which 0.1.0 wrote for half
            continue
        with pytest.raises(InputError, match=rf"{part[kind]}\.{name} (must be|is a probability)"):
            config.load(tmp_path)
    for value in [v for v in (about.least, about.most) if v is not None] + list(about.choices):
        assert about.refusal(value) is None


def test_no_number_is_in_no_range():
    for _, name, about in RANGED:
        assert about.choices or about.refusal(float("nan")), name


ANOTHER = """
import sys
from dataclasses import dataclass
from carousel.training import config
from carousel.training.fields import setting
from carousel.tuning.axes import opposite

@dataclass(frozen=True)
class TrainConfig(config.TrainConfig):
    swiftness: int = setting(7, "How swift; see `lr`.", least=2, most=9)

@dataclass(frozen=True)
class ExampleTraining(config.ExampleTraining, TrainConfig):
    pass

config.TrainConfig, config.ExampleTraining = TrainConfig, ExampleTraining
from carousel.cli import main
for words in sys.argv[1:]:
    sys.argv = ["carousel", *words.split(), "--help"]
    try:
        main()
    except SystemExit:
        print("end of", words)
"""


def test_a_new_field_appears_in_every_command():
    command = [sys.executable, "-c", ANOTHER, *COMMANDS]
    environment = os.environ | {"COLUMNS": "120"}
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    for words in COMMANDS:
        said, _, out = out.partition(f"end of {words}\n")
        (line,) = [line for line in said.splitlines() if "--swiftness" in line]
        assert "[2<=x<=9]" in line and "How swift; see --lr." in line and "[default: 7]" in line


def test_names_in_backticks_become_flags():
    known = flags(ModelConfig) | flags(TextConfig)
    said = "`recurrent_init` and `vocabulary_size`, `hidden`; `device`"
    assert with_flags(said, known) == "--init and --vocab-size, --hidden; device"
    assert with_flags("a `file name`.txt", known) == "a `file name`.txt"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "text.txt", "--init", "none"), "carousel: --init must be uniform or orthogonal, not 'none'\n"),
        (("train", "text.txt", "--lr", 0), "carousel: --lr must be above 0, not 0.0\n"),
        (("bench", "stream", "--units", "8,²"), "carousel: units are whole numbers from 1, separated by commas, not '8,²'\n"),
        (
            ("bench", "kernels", "--sizes", "1,²,3"),
            "carousel: --sizes takes rows,units,steps, such as 20,200,35, not '1,²,3'\n",
        ),
        (("train", "text.txt", "--length", 0), "carousel: --length must be at least 1, not 0\n"),
        (("compare", "text.txt", "--weight-decay", "nan"), "--weight-decay"),
        (("translate", "train", "text.txt", "text.txt", "--smoothing", 1), "--smoothing is a probability in [0, 1), not 1.0\n"),
    ],
    ids=lambda x: x[-2] if isinstance(x, tuple) else "",
)
def test_the_command_says_the_flag(carousel, text, arguments, said):
    status, _, err = carousel(*arguments)
    assert status == 2 and said in err and "`" not in err
    assert [p.name for p in text.parent.iterdir()] == ["text.txt"]


def test_resume_refuses_options_that_were_made(carousel, trained):
    for flag, value in (("--init", "uniform"), ("--lr", 0.1), ("--vocab-size", 9)):
        status, _, err = carousel("train", "--resume", trained, flag, value)
        assert status == 2 and f"leave {flag} out" in err


BEFORE = {
    "carousel": "0.1.0",
    "kind": "language model",
    "text": {"train": ["text.txt"], "valid": [], "test": [], "vocabulary": "word", "vocabulary_size": None},
    "model": {
        "cell": "lstm-v4",
        "embedding": 8,
        "hidden": 8,
        "layers": 1,
        "projection": 0,
        "dropout": 0.2,
        "dropout_input": None,
        "dropout_output": None,
        "same_mask": True,
        "tied": False,
        "softmax": "full",
        "recurrent": "orthogonal",
        "forget_bias": 1.0,
        "learned_initial": False,
    },
    "training": {
        "feed": "stream",
        "batch_size": 20,
        "length": 35,
        "epochs": 10,
        "optimizer": "adamw",
        "lr": 0.003,
        "momentum": 0.0,
        "weight_decay": 0.01,
        "warmup": 100,
        "schedule": "cosine",
        "decay": 0.25,
        "clip": 1.0,
        "patience": 0,
        "seed": 1,
        "threads": 0,
        "log_every": 50,
        "save_every": 30.0,
        "precision": "float32",
        "watch_gradients": 0,
        "device": "cpu",
    },
}


def test_a_configuration_of_0_1_0_is_read(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BEFORE))
    config = Config.load(tmp_path)
    assert config.model == ModelConfig(
        "lstm-v4", 8, 8, recurrent_init="orthogonal", variational_dropout=True, forget_bias=1.0, projection=None
    )
    assert config.training == TrainConfig()
    config.save(tmp_path)
    assert Config.load(tmp_path) == config and "recurrent_init" in (tmp_path / "config.json").read_text()


def test_a_translator_s_configuration_of_0_1_0_is_read(tmp_path):
    model = {
        k: v for k, v in BEFORE["model"].items() if k not in ("dropout_input", "dropout_output", "softmax", "learned_initial")
    }
    model |= {"attention": "none", "decoder_layers": 1, "bidirectional": False, "dropout_words": 0.0, "smoothing": 0.0}
    training = BEFORE["training"] | {"feed": "sentences", "batch_size": 64, "length": 0, "batch_tokens": 0}
    text = BEFORE["text"] | {"train": ["a", "b"], "vocabulary": "bpe", "shared": True, "longest": 200}
    given = {"carousel": "0.1.0", "kind": "translator", "text": text, "model": model, "training": training}
    (tmp_path / "config.json").write_text(json.dumps(given))
    config = TranslationConfig.load(tmp_path)
    assert config.model.recurrent_init == "orthogonal" and config.model.variational_dropout and config.model.projection is None
    assert config.training == PairTraining() and config.text == PairsConfig(["a", "b"])


@pytest.mark.parametrize("value", [-1, 0.0, False, "half"])
def test_what_0_1_0_refused_is_refused(tmp_path, value):
    (tmp_path / "config.json").write_text(json.dumps({"model": {"projection": value}}))
    with pytest.raises(InputError, match=r"model\.projection must be"):
        Config.load(tmp_path)


def test_a_text_where_a_number_belongs_is_refused():
    with pytest.raises(InputError, match="`embedding` must be a number, not 'none'"):
        ModelConfig("lstm-v2", "none").check()
