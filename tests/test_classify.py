"""EmotionDetectorTest.py: answers, tables, drawings, what is no image."""
import csv
import os
import pathlib
import re
import shutil
import subprocess
import threading
import unittest
from unittest import mock

import helpers
import numpy as np
import tensorflow.compat.v1 as tf
from matplotlib.backend_bases import KeyEvent, MouseEvent
from PIL import Image

import EmotionDetector
import EmotionDetectorUtils


def read_table(path):
    """The names in a table of answers, and the seven probabilities of each: [n, 7]."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["path"] for row in rows], np.array(
        [[float(row[emotion]) for emotion in EmotionDetectorUtils.EMOTIONS] for row in rows])


class ClassifyTest(helpers.TestCase):
    """All tests look at one model, trained for 31 iterations."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.model = helpers.temporary_folder(cls.addClassCleanup)
        helpers.write_data()
        helpers.train("--max_iterations=31")

    def setUp(self):
        super().setUp()
        for folder in ("data", "logs"):
            shutil.copytree(os.path.join(self.model, folder), folder)
        self.labels, pixels = helpers.faces(9, seed=1)
        self.names = helpers.write_pictures(pixels)

    def test_prints_each_image_and_seven_percentages(self):
        lines = self.assert_well(helpers.classify(*self.names)).splitlines()
        self.assertEqual(8 * 9, len(lines))
        for number, name in enumerate(self.names):
            head, *answers = lines[8 * number:8 * number + 8]
            found = [re.fullmatch(r"(\w+) = (\d+\.\d\d)%", line).groups() for line in answers]
            self.assertEqual(list(EmotionDetectorUtils.EMOTIONS), [emotion for emotion, _ in found])
            percentages = [float(percentage) for _, percentage in found]
            self.assertAlmostEqual(100, sum(percentages), delta=0.05)
            self.assertEqual(f"{name}: {found[np.argmax(percentages)][0]}", head)
            self.assertEqual(self.labels[number], np.argmax(percentages))

    def test_same_answers_as_mode_test(self):
        self.assert_well(helpers.train("--mode=test"))
        self.assert_well(helpers.classify("--csv=answers.csv", *self.names))
        names, answers = read_table("answers.csv")
        self.assertEqual(self.names, names)
        predictions = np.loadtxt("logs/predictions.csv", delimiter=",", skiprows=1)
        np.testing.assert_allclose(answers, predictions[:, 2:], atol=1e-6)

    def test_a_pattern_and_a_folder(self):
        os.makedirs("album/2025/deep")
        for name in ("album/2025/x.png", "album/2025/deep/y.png"):
            shutil.copy(self.names[0], name)
        for name in ("b.JPG", "a.png", "Thumbs.db", "d.HEIC", "e.heic", "noending", ".hidden", "c [1].png"):
            shutil.copy(self.names[0], f"album/{name}")
        others = r"left out: 1 \.db, 2 \.heic, 1 folder, 1 without an ending\.\n$"
        for words, expected, errors in (
                (["face0[0-2].png"], self.names[:3], "^$"),
                (["album/*.png"], ["album/a.png", "album/c [1].png"], "^$"),
                (["album/c [1].png"] * 2, ["album/c [1].png"] * 2, "^$"),
                (["album"], ["album/a.png", "album/b.JPG", "album/c [1].png"], f"^{os.getcwd()}/album: {others}"),
                (["album/**/?.png"], ["album/2025/deep/y.png", "album/2025/x.png", "album/a.png"], "^$"),
                (["album/20*/**"], ["album/2025/deep/y.png", "album/2025/x.png"], "^$"),
                (["album/*"], ["album/a.png", "album/b.JPG", "album/c [1].png"], rf"/album/\*: {others}")):
            status, _, found = helpers.classify("--csv=out.csv", *words)
            self.assertEqual(0, status)
            self.assertRegex(found, errors)
            self.assertEqual(expected, read_table("out.csv")[0])

    def test_words_that_name_no_picture(self):
        os.makedirs("folders/inner")
        os.makedirs("iphone")
        os.mkdir("empty")
        os.makedirs("links/folder.jpg")
        os.symlink("nowhere", "links/link.png")
        for name in ("1.HEIC", "2.HEIC"):
            open(f"iphone/{name}", "w").close()
        for word, holds in (("folders", "1 folder"), ("iphone", "2 .heic"), ("iphone/*.HEIC", "2 .heic"),
                            ("empty", "it is empty"), ("links", "1 folder, 1 link to nothing"),
                            ("links/folder.jpg", "it is empty")):
            output = self.assert_stated(
                helpers.classify(word, self.names[0]), f"^Error: {re.escape(os.path.abspath(word))} holds no picture .* [(]{holds}[)]: ")
            self.assertRegex(output, "^face00.png: ")
        self.assert_stated(helpers.classify("links/link.png"), "^Error: .*/links/link.png .* .it is a link to nothing")
        self.assert_stated(helpers.classify(""), "^Error: an empty word names no file", 2)

    @unittest.skipUnless(hasattr(os, "mkfifo"), "no pipes with a name here")
    def test_a_pipe_is_read_once(self):
        picture = pathlib.Path(self.names[0]).read_bytes()
        expected = self.assert_well(helpers.classify(self.names[0]))
        for flags in ([], ["--figure=out.png"], ["--show"]):
            os.mkfifo("pipe")
            writer = threading.Thread(target=pathlib.Path("pipe").write_bytes, args=[picture])
            writer.start()
            if flags:
                self.assert_stated(helpers.classify(*flags, "pipe"), "^Error: pipe is a pipe, .*save it as a file", 2)
                os.close(os.open("pipe", os.O_RDONLY))
            else:
                self.assertEqual(expected.replace(self.names[0], "pipe"), self.assert_well(helpers.classify("pipe")))
            writer.join(10)
            os.remove("pipe")

    def test_a_value_that_was_forgotten_costs_no_photograph(self):
        os.symlink(self.names[0], "link.png")
        before = helpers.contents(".")
        for words, pattern in (
                (["--figure", *self.names], "--figure needs an equals sign"),
                (["--csv", *self.names], "--csv needs an equals sign"), (["-csv", "face00.png"], "-csv needs"),
                (["--figure=face01.png", *self.names], f"{os.getcwd()}/face01.png is one of the images"),
                (["--csv=face01.png", "face01.png"], ".*is one of the images"),
                (["--csv=./link.png", "face0*.png"], ".*link.png is one of the images")):
            self.assert_stated(helpers.classify(*words), f"^Error: {pattern}", 2)
            self.assertEqual(before, helpers.contents("."))

    def test_a_table_into_what_is_no_file(self):
        """A pipe, a device, a link, and the file that standard output goes to: each is written into."""
        os.mkdir("elsewhere")
        os.symlink("elsewhere/real.csv", "link.csv")
        self.assert_well(helpers.classify("--csv=link.csv", self.names[0]))
        self.assertTrue(os.path.islink("link.csv"))
        self.assertEqual(self.names[:1], read_table("elsewhere/real.csv")[0])
        with open("link.csv") as file:
            table = file.read()
        for name in ("/dev/stdout", "out"):
            with open("out", "w") as out:
                process = helpers.start_script("EmotionDetectorTest.py", "--logs_dir=logs", f"--csv={name}",
                                               self.names[0], stdout=out)
                self.assertEqual((0, ""), helpers.finish(process)[::2])
            with open("out") as out:
                lines = out.read()
            self.assertRegex(lines, r"^face00.png: \w+\n(\w+ = [0-9.]+%\n){7}path,")
            self.assertTrue(lines.endswith(table))
        os.mkfifo("pipe")
        reader = subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True)
        self.assert_well(helpers.classify("--csv=pipe", self.names[0]))
        self.assertEqual(table, reader.communicate(timeout=10)[0])
        self.assertNotIn(".part", " ".join(os.listdir(".")))

    def test_one_bad_image_among_three(self):
        result = helpers.classify(self.names[0], "missing*.jpg", self.names[1])
        output = self.assert_stated(result, rf"^Error: {os.getcwd()}/missing\*\.jpg .*No such file")
        self.assertEqual(2, len(re.findall(r"^face\d\d\.png: \w+$", output, re.MULTILINE)))

    def test_names_of_all_kinds(self):
        """In the table, the drawing and the printed lines of a script, where pandas keeps text in pyarrow, too."""
        names = ["with a space.png", "\u00fcml\u00e4ut-\u7b11.png", "$x$.png", 'a "quoted", one.png',
                 os.fsdecode(b"f\xe4ce.png")]
        for name in names:
            shutil.copy(self.names[0], name)
        output = self.assert_well(helpers.finish(helpers.start_script(
            "EmotionDetectorTest.py", "--logs_dir=logs", "--csv=out.csv", "--figure=out.png", *names)))
        self.assertEqual(names, read_table("out.csv")[0])
        self.assertIn("f\\udce4ce.png: anger\n", output)

    def test_figures(self):
        Image.new("L", (500, 300), 99).save("wide.png")
        for count in (1, 10):
            names = [*self.names, "wide.png"][-count:]
            self.assert_well(helpers.classify("--figure=sheet.png", "--box=2,2,40,40", *names))
            self.assertEqual((900, 300 * count), helpers.picture_size("sheet.png"))
        for ending in ("jpg", "PDF", "svg"):
            self.assert_well(helpers.classify(f"--figure=sheet.{ending}", names[-1]))
        self.assert_stated(helpers.classify("--figure=sheet.png", *names, *names, "wide.png"),
                           "^Error: 21 images are too many for a drawing, expected at most 20", 2)

    def test_what_a_drawing_shows(self):
        """The box in the photograph's pixels, percentages, the likeliest, the contrast as it is."""
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (600, 900, 3)).astype(np.uint8)).save("x" * 22 + ".jpg")
        Image.fromarray(np.random.RandomState(0).randint(100, 121, (48, 48)).astype(np.uint8)).save("pale.png")
        for name, title, size, flags, expected in (
                ("x" * 22 + ".jpg", "\u2026" + "x" * 19 + ".jpg", (900, 600), [], (150, 0, 600, 600)),
                ("x" * 22 + ".jpg", None, (900, 600), ["--box=800,500,100,100"], (800, 500, 100, 100)),
                ("pale.png", "pale.png", (48, 48), [], (0, 0, 48, 48))):
            with mock.patch.object(EmotionDetectorUtils, "save_figure") as save_figure:
                self.assert_well(helpers.classify("--figure=x.png", "--csv=out.csv", *flags, name))
            (figure, _), _ = save_figure.call_args
            photograph, seen, bars = figure.axes
            self.assertEqual((title or photograph.get_title(), "what the network saw"),
                             (photograph.get_title(), seen.get_title()))
            self.assertEqual([0, size[0], size[1], 0], photograph.images[0].get_extent())
            self.assertLessEqual(max(photograph.images[0].get_array().shape), 400)
            self.assertEqual(2 + name.endswith(".jpg"), photograph.images[0].get_array().ndim)  # in colour
            box, = photograph.patches
            self.assertEqual(expected, (*box.get_xy(), box.get_width(), box.get_height()))
            self.assertFalse(box.get_clip_on())
            image = EmotionDetectorUtils.read_image(name, flags[0][6:].split(",") if flags else None)
            np.testing.assert_array_equal(image[:, :, 0], seen.images[0].get_array())
            self.assertEqual(((0, 1), (0, 255)), (seen.images[0].get_clim(), photograph.images[0].get_clim()))
            probabilities, = read_table("out.csv")[1]
            np.testing.assert_allclose([bar.get_width() for bar in bars.patches], 100 * probabilities, rtol=1e-5)
            emotions = [tick.get_text() for tick in bars.get_yticklabels()]
            self.assertEqual(list(EmotionDetectorUtils.EMOTIONS), emotions)
            self.assertEqual(f"{emotions[probabilities.argmax()]} {probabilities.max():.0%}", bars.get_title())
            self.assertEqual("", figure.get_supxlabel())
            self.assertEqual(1, len({axes.get_position().y1 for axes in figure.axes}))

    def test_a_drawing_says_that_a_model_has_seen_drawn_faces_only(self):
        with (mock.patch.object(EmotionDetectorUtils, "save_figure") as save_figure,
              mock.patch.object(EmotionDetector, "read_fingerprint", return_value="practice faces, of which ...")):
            self.assert_stated(helpers.classify("--figure=x.png", self.names[0]), "has never seen a photograph", 0)
        self.assertRegex(save_figure.call_args[0][0].get_supxlabel(), "never seen a photograph: do not believe")

    def show(self, act, *args):
        """Classify with --show; while the window is open, `act` is called with its axes, three for each image."""
        plt = EmotionDetectorUtils.load_pyplot(show=False)
        self.addCleanup(plt.close, "all")
        with (mock.patch.object(EmotionDetectorUtils, "load_pyplot", return_value=plt),
              mock.patch.object(plt, "show", lambda: act(plt.gcf().axes))):
            return helpers.classify("--show", *args)

    def drag(self, axes, start, end):
        """Drag the mouse from one point of a photograph to another, in its pixels."""
        canvas = axes.figure.canvas
        for name, point in (("button_press_event", start), ("motion_notify_event", end), ("button_release_event", end)):
            canvas.callbacks.process(name, MouseEvent(name, canvas, *axes.transData.transform(point), button=1))

    def test_a_dragged_box_is_answered_at_once(self):
        values = np.random.RandomState(0).randint(0, 256, (120, 200)).astype(np.uint8)
        Image.fromarray(values).save("noise.png")
        Image.open(self.names[2]).resize((200, 200)).save("face.png")
        drawn = []

        def act(axes):
            self.assertRegex(axes[0].get_title(), "^noise.png\ndrag a box")
            for photograph, start, end in ((0, (33, 21), (95.2, 78.6)), (3, (20, 30), (190, 195)),
                                           (3, (50, 60), (56, 90)), (0, (150, 10), (400, 69.55)), (0, (175, 40), (190, 40)),
                                           (0, (20, 20), (20.1, 20.1)), (3, (105, 112.5), (110, 117.5))):
                self.drag(axes[photograph], start, end)
                if end == (20.1, 20.1):  # a click, and a key: the box is there as it was, and nothing is asked
                    canvas = axes[0].figure.canvas
                    canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", canvas, "escape"))
                    self.assertTrue(any(patch.get_visible() and patch.get_bbox().extents.round().tolist() == [165, 10, 200, 70]
                                        for patch in axes[0].patches))
                    continue
                _, seen, bars = axes[photograph:photograph + 3]
                drawn.append((seen.images[0].get_array(), [bar.get_width() / 100 for bar in bars.patches], bars.get_title()))

        status, output, errors = self.show(act, "noise.png", "face.png")
        self.assertEqual(0, status)
        asked = re.findall(r"^(\w+\.png) (--box=\S+): (\w+)$", output, re.MULTILINE)
        # Drawn, drawn, drawn over the edge, moved over it by the handle in its middle; and, after a
        # box that cannot be, the one before it moved
        self.assertEqual([("noise.png", "--box=33,21,62,58"), ("face.png", "--box=20,30,170,165"),
                          ("noise.png", "--box=150,10,50,60"), ("noise.png", "--box=165,10,35,60"),
                          ("face.png", "--box=25,35,170,165")],
                         [(name, box) for name, box, _ in asked])
        self.assertRegex(errors, rf"^Error: --box=50,60,6,30 does not lie in {os.getcwd()}/face.png, which is 200 pixels wide .*\n$")
        for (name, box, emotion), (image, probabilities, title) in zip(asked, drawn[:2] + drawn[3:]):
            self.assertIn(f"{name}: {emotion}\n", self.assert_well(helpers.classify("--csv=out.csv", box, name)))
            np.testing.assert_allclose(read_table("out.csv")[1][0], probabilities, atol=1e-6)
            np.testing.assert_array_equal(
                EmotionDetectorUtils.read_image(name, box[6:].split(","))[:, :, 0], image)
            self.assertEqual(f"{emotion} {max(probabilities):.0%}", title)
        np.testing.assert_array_equal(drawn[2][0], drawn[1][0])  # a box that cannot be leaves all as it was
        self.assertEqual(drawn[2][1:], drawn[1][1:])

    def test_in_a_notebook_the_drawing_is_shown_as_it_is(self):
        def act(axes):
            self.assertEqual(self.names[0], axes[0].get_title())
            self.assertLen(axes[0].patches, 1)
            self.drag(axes[0], (5, 5), (40, 40))

        with mock.patch.object(EmotionDetectorUtils, "INTERACTIVE", True):
            self.assertNotIn("--box", self.assert_well(self.show(act, self.names[0])))

    @helpers.parameterized.parameters(
        ("--figure=none/out.png", "none/out.png cannot be written .No such file"),
        ("--csv=none/out.csv", "none/out.csv cannot be written .No such file"),
        ("--csv=data", "data cannot be written .Is a directory"),
        ("--figure=out.xyz", "out.xyz cannot be written .Format 'xyz' is not supported"),
        ("--box=0.3,0.2,0.4,0.5", "does not lie in .*/face00.png, which is 48 pixels wide"))
    def test_what_cannot_be(self, flag, pattern):
        before = os.listdir(".")
        self.assert_stated(helpers.classify(flag, self.names[0]), f"^Error: .*{pattern}")
        self.assertEqual(before, os.listdir("."))

    @unittest.skipUnless(os.path.exists("/dev/full"), "no full disk here")
    def test_a_full_disk_leaves_nothing_half_written(self):
        os.symlink("/dev/full", f"out.csv.{os.getpid()}.part")
        self.assert_stated(helpers.classify("--csv=out.csv", self.names[0]),
                           "out.csv cannot be written .No space left")
        self.assertEqual([], [name for name in os.listdir(".") if "out" in name])

    def test_without_an_image(self):
        self.assert_stated(helpers.classify(), "^Error: Name the images to classify", 2)

    def test_without_pandas_and_without_a_gpu(self):
        """The table needs no pandas; a graph that names a GPU is answered on the CPU, where none is to be seen."""
        run, configs = tf.Session.__init__, []

        def watching(session, *args, config=None, **kwargs):
            configs.append(config)
            run(session, *args, config=config, **kwargs)

        expected = self.assert_well(helpers.classify(self.names[0]))
        path = tf.train.latest_checkpoint("logs") + ".meta"
        with open(path, "rb") as file:
            graph = tf.MetaGraphDef.FromString(file.read())
        for node in graph.graph_def.node:
            node.device = "/device:GPU:0"
        with open(path, "wb") as file:
            file.write(graph.SerializeToString())
        with (mock.patch.object(tf.Session, "__init__", watching),
              mock.patch.object(EmotionDetectorUtils, "load_library", side_effect=AssertionError)):
            self.assertEqual(expected, self.assert_well(helpers.classify("--csv=out.csv", self.names[0])))
        self.assertEqual([{"GPU": 0}], [dict(config.device_count) for config in configs])
