"""--convert: folders of pictures, and CSV files with a column Usage."""
import csv
import itertools
import os
import signal

import helpers
import numpy as np
from PIL import Image

import EmotionDetectorUtils

LABEL_OF = {"anger": 0, "angry": 0, "disgust": 1, "disgusted": 1, "fear": 2, "fearful": 2, "afraid": 2, "scared": 2,
            "happy": 3, "happiness": 3, "joy": 3, "sad": 4, "sadness": 4, "surprise": 5, "surprised": 5, "neutral": 6}
TEST_WORDS = ["test", "tests", "testing", "testset", "val", "valid", "validate", "validation", "eval", "evaluation",
              "dev", "holdout", "publictest", "privatetest"]
FILE_OF = dict.fromkeys(["", "train", "training"], "train.csv") | dict.fromkeys(TEST_WORDS, "test.csv")


def read(name):
    """The labels and pixels of a file in ./data."""
    with open(f"data/{name}") as file:
        return [(int(row["Emotion"]), list(map(int, row["Pixels"].split()))) for row in csv.DictReader(file)]


def write_tree(*folders):
    """Write a face into each folder of the source, a different one for each; return the faces."""
    faces = np.random.RandomState(len(folders)).randint(0, 256, (len(folders), 48, 48)).astype(np.uint8)
    for folder, face in zip(folders, faces):
        os.makedirs(f"source/{folder}", exist_ok=True)
        Image.fromarray(face).save(f"source/{folder}/face.png")
    return faces.reshape(-1, 2304).tolist()


def convert(source):
    """Convert into ./data in this process; as `helpers.finish`."""
    return helpers.run_script(EmotionDetectorUtils, main=lambda _: EmotionDetectorUtils.convert(source, "data"))


class ConvertTest(helpers.TestCase):

    def test_every_word_in_a_large_tree(self):
        """Each word for an emotion beside each for a file, in any case, with punctuation and digits, at any depth."""
        rng = np.random.RandomState(8)
        styles = ("{}", "3_{}", "{}-1", "({}) 2019", "_{}.", "12 {}")
        folders, files, expected_labels = [], [], []
        for number, (word, usage) in enumerate(itertools.product(LABEL_OF, FILE_OF)):
            word_here, usage_here = (rng.choice(styles).format(rng.choice([text, text.upper(), text.title()]))
                                     for text in (word, usage))
            other, outer = rng.choice(list(LABEL_OF)), rng.choice(["Testimony", "TRAIN", "valencia", "validation 7"])
            folders.append(os.path.normpath(f"{outer}/{number}/" + rng.choice([
                f"{other}/{usage_here}/{word_here}", f"{word_here}/{usage_here}/person {number}",
                f"train {usage_here} {word_here}", f"{word_here}, {usage_here}/Contest {number}/{number}"])))
            held_out = not usage and outer == "validation 7" and "train" not in folders[-1]
            files.append("test.csv" if held_out else FILE_OF[usage])
            expected_labels.append(LABEL_OF[word])
        faces = write_tree(*folders)
        output = self.assert_well(convert("source"))
        for name in ("train.csv", "test.csv"):
            expected = sorted((label, face) for label, face, file in zip(expected_labels, faces, files) if file == name)
            self.assertEqual(expected, sorted(read(name)))
            self.assertIn(f"{self.folder}/data/{name}: {len(expected)} faces\n", output)
        for folder, name, label in zip(folders, files, expected_labels):
            line = f"{self.folder}/source/{folder}: 1 faces, {helpers.EMOTIONS[label]} -> {name}\n"
            self.assertTrue(line in output, line)

    def test_what_is_left_out_is_told(self):
        write_tree("train/angry", "train/contempt", "happy, sad", "not happy")
        for name in ("broken.png", "Thumbs.db", "a.HEIC", "noending", ".DS_Store"):
            open(f"source/train/angry/{name}", "w").close()
        os.symlink("nowhere", "source/train/angry/link.png")
        status, output, errors = convert("source")
        source = f"{self.folder}/source"
        self.assertEqual(0, status)
        self.assertRegex(errors, f"^Left out: {source}/train/angry/broken.png [^\n]*\n"
                         f"Left out: {source}/train/angry/link.png: No such file or directory.\n"
                         f"{source}/happy, sad: left out: 1 pictures, since no folder [^\n]*\n"
                         f"{source}/not happy: left out: 1 pictures, since [^\n]*\n"
                         f"{source}/train/contempt: left out: 1 pictures, since [^\n]*\n"
                         f"{source}: left out: 3 files that do not end as a picture does.\n$")
        self.assertIn("/source/train/angry: 1 faces, anger -> train.csv\n", output)

    def test_photographs_become_faces(self):
        for folder, colour in (("happy", "white"), ("sad", "black")):
            os.makedirs(f"source/{folder}")
            Image.new("RGB", (96, 120), colour).save(f"source/{folder}/face.jpg")
        self.assert_well(helpers.finish(helpers.start_script(
            "EmotionDetectorUtils.py", "--convert=source", "--data_dir=data")))
        self.assertEqual([(3, [255] * 2304), (4, [0] * 2304)], read("train.csv"))
        self.assertEqual(["train.csv"], os.listdir("data"))

    @helpers.cases(
        [f"DATASET/{part}/{number}" for part in ("train", "test") for number in range(1, 8)],
        [str(number) for number in range(7)], ["train/0", "train/12"], ["Contest/0", "1"], ["test/happy"], ["."])
    def test_without_a_face_to_train_on_nothing_is_written(self, *folders):
        """Numbers are no labels, since data sets number the emotions differently."""
        write_tree(*folders)
        open("source/Thumbs.db", "w").close()
        result = convert("source")
        self.assert_stated(result, f"^Error: {self.folder}/source holds no face to train on: .* in words.*FER2013: "
                           "0 anger, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral.*rename each")
        self.assertFalse(os.path.exists("data"))

    def test_links_are_followed_and_circles_end(self):
        write_tree("train/happy", "train/sad")
        os.rename("source/train/sad", "elsewhere")
        os.symlink(os.path.abspath("elsewhere"), "source/train/sad")
        os.symlink("..", "source/train/happy/up")
        os.symlink(os.path.abspath("source/train/happy"), "elsewhere/fear")
        os.symlink(os.path.abspath("elsewhere"), "source/train/happy/other")
        self.assert_well(convert("source"))
        self.assertEqual([2, 3, 3, 4], sorted(label for label, _ in read("train.csv")))

    @helpers.cases("test.csv", "train.csv")
    def test_a_file_that_is_there_already_is_kept(self, name):
        write_tree("train/happy", "test/sad")
        os.makedirs("data")
        os.symlink("nowhere", f"data/{name}")
        self.assert_stated(convert("source"), f"^Error: {self.folder}/data/{name} is there already")
        self.assertEqual([name], os.listdir("data"))

    @helpers.cases((["Training"] * 20 + ["PublicTest", "PrivateTest"] * 10,),
                                      (["test", "train", "val", "Training"] * 10,))
    def test_a_file_with_usage_is_split_by_it_in_its_order(self, usages):
        with open("icml.csv", "w") as file:
            print("emotion, Usage, pixels", file=file)
            faces = helpers.faces(40, seed=4)
            for label, pixels, usage in zip(*faces, usages):
                print(label, usage, " ".join(map(str, pixels)), sep=", ", file=file)
        self.assert_well(convert("icml.csv"))
        for name, wanted in (("train.csv", True), ("test.csv", False)):
            self.assertEqual([(label, pixels.tolist()) for label, pixels, usage in zip(*faces, usages)
                              if usage.lower().startswith("train") == wanted], read(name))

    @helpers.cases(
        ("plain.csv", "plain.csv: its first line is 'Emotion,Pixels'. Expected .* Emotion and Pixels and Usage"),
        ("nowhere", "nowhere: No such file"))
    def test_nothing_to_convert(self, source, pattern):
        helpers.write_csv("plain.csv", *helpers.faces(12))
        self.assert_stated(convert(source), f"^Error: {self.folder}/{pattern}")
        self.assertFalse(os.path.exists("data"))

    def test_half_a_data_set_is_never_train_csv(self):
        """Ctrl-C while it is written, into what is a pipe here and holds it up."""
        write_tree("happy", *(f"sad/{number}" for number in range(30)))
        os.makedirs("data")
        os.mkfifo("data/train.csv.part")
        process = helpers.start_script("EmotionDetectorUtils.py", "--convert=source", "--data_dir=data")
        with open("data/train.csv.part") as pipe:
            pipe.readline()
            process.send_signal(signal.SIGINT)
            self.assertEqual((-signal.SIGINT, ""), helpers.finish(process)[::2])
        self.assertEqual(["train.csv.part"], os.listdir("data"))
