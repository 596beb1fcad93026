"""A data set and a model that call the same things differently: pairs of names, guesses, and what is left out."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import Dataset, Sample, load_dataset
from edgekit.data.classes.apply import mapped
from edgekit.data.classes.class_map import ClassMap, class_map, proposal
from edgekit.data.classes.near import near
from edgekit.data.mask_file import VOID, MaskFile
from edgekit.errors import DataError, UsageError
from edgekit.vision.image import encode_picture

FRAME = np.zeros((40, 60, 3), np.uint8)
OURS = ("bee", "hornet")


def given(*texts: str) -> ClassMap:
    made = class_map(list(texts))
    assert made is not None
    return made


def boxed(classes: tuple[str, ...], *labels: list[int]) -> Dataset:
    """One picture for each list of labels, its boxes side by side, each with an area and a crowd of the same class."""
    samples = []
    for n, own in enumerate(labels):
        boxes = [(10 * i, 0, 10 * i + 5, 5) for i in range(len(own))]
        crowd = [(10 * i, 20, 10 * i + 5, 25) for i in range(len(own))]
        samples.append(
            Sample(None, FRAME, None, f"{n}.png", np.array(boxes), np.array(own, np.int64), np.full(len(own), 7.0),
                   np.array(crowd), np.array(own, np.int64))
        )  # fmt: skip
    return Dataset(tuple(samples), classes, "yolo")


def labelled(classes: tuple[str, ...] | None, *labels: int) -> Dataset:
    return Dataset(tuple(Sample(None, FRAME, k, f"{i}.png") for i, k in enumerate(labels)), classes, "folder")


def write_pictures(root: Path, *folders: str) -> None:
    """Two pictures, 0.png and 1.png, in each folder."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for i in range(2):
            (root / folder / f"{i}.png").write_bytes(encode_picture(FRAME, ".png"))


def pasted(text: str) -> list[str]:
    """The words of the --map that a message proposes, as a shell gives them."""
    words = shlex.split(re.sub(r" \(which guesses.*", "", text[text.index("--map ") :]))
    assert words[0] == "--map"
    return words[1:2]


# Reading one


def test_it_is_read_from_texts_a_table_and_a_mapping_alike(tmp_path: Path) -> None:
    file = tmp_path / "names.toml"
    file.write_text('[map]\nbee = ["Bees", "honey bee"]\nhornet = "asian_giant_hornet"\n"-" = ["wasp"]\n')
    pairs = (("bee", "Bees"), ("bee", "honey bee"), ("hornet", "asian_giant_hornet"), ("-", "wasp"))
    assert given("bee=Bees,bee=honey bee", "hornet=asian_giant_hornet,-=wasp").pairs == pairs
    assert given(str(file)).pairs == pairs
    as_mapping = class_map({"bee": ["Bees", "honey bee"], "hornet": "asian_giant_hornet", "-": ("wasp",)})
    assert as_mapping is not None
    assert as_mapping.pairs == pairs
    assert class_map(file) == as_mapping
    assert class_map(None) is class_map([]) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bee", "pairs of names"),
        ("bee=", "pairs of names"),
        ("=Bees", "pairs of names"),
        ("bee=Bees,,", "pairs of names"),
        ("bee=Bees,hornet=Bees", "two meanings"),
        ("bee=-", "stands behind"),
        ("*=bee", "stands behind"),
        ("nowhere.toml", "cannot be read"),
    ],
)
def test_what_is_no_map_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        class_map(text)
    assert caught.value.expected


@pytest.mark.parametrize("content", ["", "bee = 'Bees'\n", "[map]\nbee = 3\n", "[map]\nbee = 'B'\n[more]\n", "[map"])
def test_a_file_without_such_a_table_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.toml").write_text(content)
    with pytest.raises(UsageError, match="m.toml"):
        class_map(tmp_path / "m.toml")


# What is meant


@pytest.mark.parametrize(
    ("name", "classes", "found"),
    [
        ("Bees", OURS, "bee"),
        ("asian_giant_hornet", OURS, "hornet"),
        ("Hornets", OURS, "hornet"),
        ("honey bee", OURS, "bee"),
        ("Vespa velutina", OURS, "hornet"),
        ("horner", OURS, "hornet"),  # a typo
        ("hornet", ("asian_giant_hornet", "bee"), "asian_giant_hornet"),
        ("wasp", OURS, None),
        ("hot dog", ("dog", "cat"), "dog"),  # a guess, and told as one
        ("aeroplane", ("airplane", "bird"), "airplane"),
        ("pottedplant", ("potted plant", "bird"), "potted plant"),
        ("diningtable", ("dining table", "bird"), "dining table"),
        ("tvmonitor", ("tv", "bird"), "tv"),
        ("buses", ("bus", "car"), "bus"),
        ("people", ("person", "car"), "person"),
        ("tench", ("tench, Tinca tinca", "goldfish, Carassius auratus"), "tench, Tinca tinca"),
        ("crane", ("crane", "crane"), None),  # two of them
        ("蜂", ("bee", "蜂"), "蜂"),
        ("--", OURS, None),
    ],
)
def test_a_near_name_is_found_where_it_is_one(name: str, classes: tuple[str, ...], found: str | None) -> None:
    place = near(name, classes)
    assert (None if place is None else classes[place]) == found


# Taking a data set through it


def test_boxes_go_under_the_models_indices_and_what_is_left_out_is_counted() -> None:
    data = boxed(("wasp", "Bees", "asian_giant_hornet", "drone"), [1, 0, 2], [3, 0], [0])
    found = mapped(data, ("hornet", "bee"), given("bee=Bees,hornet=asian_giant_hornet", "bee=drone,-=wasp"))
    assert found.classes == ("hornet", "bee")
    first, second, third = (sample.ground_truth() for sample in found)
    assert first.labels.tolist() == [1, 0]
    assert first.boxes[:, 0].tolist() == [0, 20]
    assert first.areas.tolist() == [7, 7]
    assert first.ignored_labels.tolist() == [1, 0]
    assert second.labels.tolist() == [1]
    assert (third.labels.size, third.ignored_labels.size) == (0, 0)  # a picture of wasps has neither
    assert found.notes == (
        "classes by the map: Bees as bee, asian_giant_hornet as hornet, drone as bee",
        "left out by the map: 6 of 12 objects, of 1 of 4 classes: wasp 6",
    )


def test_pictures_of_a_class_that_is_left_out_are_left_out() -> None:
    found = mapped(labelled(("Bees", "wasp", "Hornet"), 0, 1, 2, 2), OURS, given("bee=Bees,-=*"))
    assert [sample.label for sample in found] == [0, 1, 1]  # Hornet is hornet in another case
    assert "left out by the map: 1 of 4 pictures, of 1 of 3 classes: wasp 1" in found.notes


def test_all_the_others_may_be_one_class() -> None:
    found = mapped(labelled(("ant", "beetle", "bee"), 0, 1, 2), ("bee", "insect"), given("insect=*"))
    assert [sample.label for sample in found] == [1, 1, 0]


def test_many_classes_of_the_model_and_few_of_the_data() -> None:
    coco = (*(f"thing {i}" for i in range(79)), "person")
    found = mapped(boxed(("People",), [0, 0]), coco, given("person=People"))
    assert found.box_counts[79] == 2
    assert found.notes[-1].startswith("79 of the model's 80 classes have no objects: thing 0, ")


def test_two_sides_may_share_a_name_that_neither_has() -> None:
    """`bee` is what both stand for: the model's `Apis` and the data's `Biene`."""
    both = given("bee=Apis,bee=Biene,hornet=Vespa,hornet=Hornisse")
    found = mapped(labelled(("Biene", "Hornisse"), 0, 1), ("Vespa", "Apis"), both)
    assert [sample.label for sample in found] == [1, 0]
    assert [s.label for s in mapped(labelled(("bee",), 0), ("Apis",), given("Apis=bee"))] == [0]
    assert [s.label for s in mapped(labelled(("bee",), 0), ("Apis",), given("bee=Apis"))] == [0]  # either way round


def test_a_class_that_would_be_two_of_the_models_is_refused() -> None:
    with pytest.raises(UsageError, match="several of the model's classes") as caught:
        mapped(labelled(("vehicle",), 0), ("car", "truck"), given("vehicle=car,vehicle=truck"))
    assert "car and truck" in str(caught.value)
    found = mapped(labelled(("car", "truck"), 0, 1), ("car", "truck"), given("vehicle=car,vehicle=truck"))
    assert [sample.label for sample in found] == [0, 1]


def test_labels_of_which_the_data_does_not_speak_are_unknown() -> None:
    rows = [((0, 1), ()), ((2,), (0,)), ((), (1,))]
    samples = [Sample(None, FRAME, None, f"{i}", labels=a, unknown_labels=b) for i, (a, b) in enumerate(rows)]
    data = Dataset(tuple(samples), ("Bees", "drones", "wasp"), "csv with labels")
    found = mapped(data, ("hornet", "bee"), given("bee=Bees,bee=drones,-=wasp"))
    assert [(s.labels, s.unknown_labels) for s in found] == [((1,), (0,)), ((), (0, 1)), ((), (0, 1))]


def test_masks_go_under_the_models_indices_and_what_is_left_out_is_void(tmp_path: Path) -> None:
    values = np.zeros((40, 60), np.uint8)
    values[:, 20:30], values[:, 30:40], values[:, 40:] = 1, 2, 255
    Image.fromarray(values).save(tmp_path / "m.png")
    expected = np.array([1, VOID, 0, VOID], np.int16)[np.searchsorted([0, 1, 2, 255], values)]
    names = given("ground=Road,-=Pole")
    for mask in (
        MaskFile(tmp_path / "m.png"),
        MaskFile(tmp_path / "m.png", {0: 0, 1: 1, 2: 2, 255: VOID}),
        np.where(values == 255, np.int16(VOID), values.astype(np.int16)),
    ):
        data = Dataset((Sample(None, FRAME, None, "a", mask=mask),), ("Road", "Pole", "sky"), "masks")
        found = mapped(data, ("sky", "ground"), names)
        assert (found.samples[0].read_mask() == expected).all()
        assert found.notes[-1] == "left out by the map: 400 of 1600 pixels, of 1 of 3 classes: Pole 400"


def test_a_box_that_was_two_classes_is_one() -> None:
    box = np.array([[0, 0, 9, 9], [0, 0, 9, 9]])
    data = Dataset((Sample(None, FRAME, None, "a", box, np.array([0, 1])),), ("bee", "insect"), "yolo")
    found = mapped(data, ("bee",), given("bee=insect"))
    assert found.box_counts == (1,)
    assert found.notes[-1].startswith("1 box dropped")


def test_numbers_stand_for_names_where_there_are_none() -> None:
    found = mapped(labelled(None, 7, 2, 7), OURS, given("bee=7,hornet=2"))
    assert [sample.label for sample in found] == [0, 1, 0]


def test_what_is_mapped_onto_nothing_is_listed_and_the_proposal_can_be_pasted() -> None:
    data = boxed(("Bees", "asian_giant_hornet", "wasp", "moth"), [0, 0, 1], [2])
    with pytest.raises(UsageError, match="none of the model's") as caught:
        mapped(data, OURS, given("hornet=asian_giant_hornet"))
    error = caught.value
    assert error.exit_code == 2
    assert error.got == "2 of 4: Bees (4 objects), wasp (2 objects)"
    assert error.expected == "one of bee, hornet"
    assert error.fix is not None
    found = mapped(data, OURS, given(*pasted(error.fix)))
    assert found.box_counts == (2, 1)


def test_a_proposal_leaves_many_out_at_once_and_says_how_where_nothing_is_near() -> None:
    many = [f"thing {i}" for i in range(9)]
    assert pasted(proposal(["Bees", *many], OURS)) == ["bee=Bees,-=*"]
    assert pasted(proposal(["Bees", "moth"], OURS)) == ["bee=Bees,-=moth"]
    assert proposal(many, OURS).startswith(
        "no name is near: --map '-=thing 0' leaves thing 0 out, --map 'bee=thing 0' "
    )


def test_names_with_commas_are_proposed_as_a_file(tmp_path: Path) -> None:
    classes = ("tench, Tinca tinca", 'a "cock" = rooster')
    text = proposal(["Tench", "Roosters", 'a "cock"  = rooster.'], classes)
    (tmp_path / "m.toml").write_text(text[text.index("[map]") :].partition(" (which")[0])
    found = class_map(tmp_path / "m.toml")
    assert found is not None
    assert ("tench, Tinca tinca", "Tench") in found.pairs


@pytest.mark.parametrize(
    ("text", "told", "fix"),
    [
        ("bee=Beees", "Beees", "did you mean Bees?"),
        ("beee=Bees", "beee", "did you mean bee?"),
        ("-=waspp", "waspp", "did you mean wasp?"),
    ],
)
def test_a_name_that_neither_side_has_is_refused(text: str, told: str, fix: str) -> None:
    with pytest.raises(UsageError, match="names a class that is not there") as caught:
        mapped(labelled(("Bees", "wasp"), 0, 1), OURS, given(text))
    assert told in str(caught.value.got)
    assert caught.value.fix == fix


def test_what_leaves_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="leaves no picture"):
        mapped(labelled(("wasp",), 0), OURS, given("-=wasp"))
    with pytest.raises(UsageError, match="no labels that a map"):
        mapped(Dataset((Sample(None, FRAME, None, "a"),), None, "pictures"), OURS, given("bee=Bees"))


# Through the layouts


def test_every_error_about_names_proposes_a_map_that_then_loads(tmp_path: Path) -> None:
    write_pictures(tmp_path / "folders", "Bees", "Hornets")
    (tmp_path / "folders" / "one.csv").write_text("file,class\nBees/0.png,Bees\nHornets/0.png,Hornets\n")
    (tmp_path / "folders" / "several.csv").write_text("file,labels\nBees/0.png,Bees;Hornets\nBees/1.png,Hornets\n")
    (tmp_path / "folders" / "columns.csv").write_text("file,Bees,Hornets\nBees/0.png,1,0\nBees/1.png,0,1\n")
    yolo = tmp_path / "yolo"
    write_pictures(yolo / "images", "val")
    (yolo / "labels" / "val").mkdir(parents=True)
    for i in range(2):
        (yolo / "labels" / "val" / f"{i}.txt").write_text(f"{i} 0.5 0.5 0.2 0.2\n")
    (yolo / "data.yaml").write_text("names: [Bees, Hornets]\nval: images/val\n")
    folders = tmp_path / "folders"
    for path in (folders, *(folders / f"{name}.csv" for name in ("one", "several", "columns")), yolo):
        with pytest.raises(DataError) as caught:
            load_dataset(path, OURS)
        assert caught.value.fix is not None, path
        assert pasted(caught.value.fix.split(";")[0]) == ["bee=Bees,hornet=Hornets"], path
        found = load_dataset(path, OURS, classes_map=given("bee=Bees,hornet=Hornets"))
        assert found.classes == OURS
        assert "classes by the map: Bees as bee, Hornets as hornet" in found.notes


def test_masks_propose_it_too(tmp_path: Path) -> None:
    """Where a number is seen when the set is opened, and where it is only met when its mask is read."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i in range(70):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "images" / f"{i:02}.png")
        Image.fromarray(np.full((4, 4), 2 if i == 1 else 0, np.uint8)).save(tmp_path / "masks" / f"{i:02}.png")
    (tmp_path / "classes.txt").write_text("ground\nHornets\nBees\n")
    classes = ("ground", "bee", "hornet")
    with pytest.raises(DataError) as late:
        load_dataset(tmp_path, classes).samples[1].read_mask()
    Image.fromarray(np.full((4, 4), 2, np.uint8)).save(tmp_path / "masks" / "00.png")
    with pytest.raises(DataError) as early:
        load_dataset(tmp_path, classes)
    for caught in (late, early):
        assert pasted((caught.value.fix or "").split(";")[0]) == ["hornet=Hornets,bee=Bees"]
    found = load_dataset(tmp_path, classes, classes_map=given("bee=Bees,hornet=Hornets"))
    assert (found.samples[1].read_mask() == 1).all()


def test_the_made_hive_too() -> None:
    name = "synthetic://hive?val=2"
    with pytest.raises(DataError) as caught:
        load_dataset(name, ("Hornets", "Bees"))
    assert pasted(caught.value.fix or "") == ["Bees=bee,Hornets=hornet"]
    found = load_dataset(name, ("Hornets", "Bees"), classes_map=given("Bees=bee,Hornets=hornet"))
    assert found.box_counts == load_dataset(name).box_counts[::-1]
    assert load_dataset(name, ("hornet", "wasp", "bee")).classes == ("hornet", "wasp", "bee")
