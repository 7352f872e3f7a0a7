"""EmotionDetectorTest.py: answers, tables, drawings, the window, what is no image."""
import csv
import os
import re
import shutil
from unittest import mock

import helpers
import numpy as np
import tensorflow.compat.v1 as tf
from matplotlib import pyplot as plt
from matplotlib.backend_bases import MouseEvent
from matplotlib.figure import Figure
from PIL import Image

import EmotionDetector
import EmotionDetectorTest
import EmotionDetectorUtils


def read_table():
    """The names in out.csv, and the seven probabilities of each: [n, 7]."""
    with open("out.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["path"] for row in rows], np.array([[float(row[word]) for word in helpers.EMOTIONS] for row in rows])


class ClassifyTestCase(helpers.TestCase):
    def setUp(self):
        super().setUp()
        helpers.write_model()
        self.labels, self.pixels = helpers.faces(9, seed=1)
        self.names = helpers.write_pictures(self.pixels)


class AnswersTest(ClassifyTestCase):
    def test_each_image_and_seven_percentages_are_printed_and_in_the_table(self):
        output = self.assert_well(helpers.classify("--csv=out.csv", *self.names))
        with open("out.csv", newline="") as file:
            header, *rows = file.read().splitlines(keepends=True)
        self.assertEqual((f"path,emotion,{','.join(helpers.EMOTIONS)}\n", 9), (header, len(rows)))
        expected = ""
        for name, label, row in zip(self.names, self.labels, rows):
            found, emotion, *probabilities = row.removesuffix("\n").split(",")
            self.assertEqual((name, helpers.EMOTIONS[label]), (found, emotion))
            self.assertAlmostEqual(1, sum(map(float, probabilities)), delta=1e-5)
            self.assertEqual(label, np.argmax(list(map(float, probabilities))))
            expected += f"{name}: {emotion}\n" + "".join(
                f"{word} = {float(value):.2%}\n" for word, value in zip(helpers.EMOTIONS, probabilities))
        self.assertEqual(expected, output)

    def test_each_answer_is_written_as_it_comes(self):
        classify, rows = EmotionDetectorTest.classify, []

        def watching_classify(sess, images):
            rows.append(read_table()[0] if os.path.exists("out.csv") else "not opened yet")
            return classify(sess, images)

        with mock.patch.object(EmotionDetectorTest, "classify", watching_classify):
            self.assert_well(helpers.classify("--csv=out.csv", *self.names[:3]))
        self.assertEqual(["not opened yet", *(self.names[:count] for count in range(3))], rows)

    def test_one_bad_image_among_three_leaves_each_answer_under_its_own_name(self):
        names = [self.names[4], "bad.png", self.names[2]]
        open("bad.png", "w").close()
        output = self.assert_stated(helpers.classify("--csv=out.csv", "--figure=out.png", *names),
                                    f"^Error: {self.folder}/bad.png cannot be read as a picture")
        found, answers = read_table()
        self.assertEqual((names[::2], [4, 2]), (found, answers.argmax(axis=1).tolist()))
        self.assertEqual([f"{names[0]}: sad", f"{names[2]}: fear"], re.findall("^.*png: .*$", output, re.MULTILINE))
        self.assertEqual((900, 600), Image.open("out.png").size)

    @helpers.cases(
        (["--logs_dir=x", "--csv=x/x.csv", "x.jpg"], "x holds no model"), (["--csv=data", "x.jpg"], "data: Is a dir"),
        (["x.jpg"], "x.jpg: No such file or directory.$"), (["x*.jpg"], r"x\*.jpg: No"), (["link.png"], "link.png: No"))
    def test_the_model_the_table_the_images_are_looked_for_in_this_order(self, words, expected):
        os.symlink("nowhere", "link.png")
        self.assert_stated(helpers.classify(*words), f"^Error: {self.folder}/{expected}")

    def test_names_of_all_kinds(self):
        names = ["with a space.png", "\u00fcml.png", "$^$.png", 'a "quoted", 1.png', os.fsdecode(b"f\xe4ce.png")]
        for name in names:
            shutil.copy(self.names[0], name)
        output = self.assert_well(helpers.classify("--csv=out.csv", "--figure=out.png", *names))
        self.assertEqual([names, names], [read_table()[0], re.findall("^(.*): anger$", output, re.MULTILINE)])

    def test_a_graph_that_names_a_gpu_is_answered_on_the_cpu(self):
        with open("logs/model.ckpt-30.meta", "rb") as file:
            graph = tf.MetaGraphDef.FromString(file.read())
        for node in graph.graph_def.node:
            node.device = "/device:GPU:0"
        helpers.write("logs/model.ckpt-30.meta", graph.SerializeToString())
        with mock.patch.object(tf, "Session", side_effect=tf.Session) as session:
            self.assertIn("face00.png: anger\n", self.assert_well(helpers.classify(self.names[0])))
        self.assertEqual({"GPU": 0}, dict(session.call_args.kwargs["config"].device_count))

    def test_a_program_of_one_s_own(self):
        """A model is restored into the graph of the session that it is given; images must lie in 0..1."""
        images = EmotionDetectorUtils.to_images(self.pixels)
        images[0, 0, 0], images[0, 0, 1] = 0, 1
        sess = tf.Session(graph=tf.Graph())
        self.addCleanup(sess.close)
        with mock.patch.object(EmotionDetector.FLAGS["logs_dir"], "_value", "logs"):
            self.assertEqual("", EmotionDetectorTest.restore_model(sess))
        answers = EmotionDetectorTest.classify(sess, images)
        np.testing.assert_array_equal(self.labels, answers.argmax(axis=1))
        self.assertEqual((np.float32, (9, 7)), (answers.dtype, answers.shape))
        for value in 255, 1.0001, -0.0001, np.nan:
            images[4, 17, 40] = value
            with self.assertRaisesRegex(ValueError, "must lie in 0..1: divide them by 255"):
                EmotionDetectorTest.classify(sess, images)


class WordsTest(ClassifyTestCase):
    def setUp(self):
        super().setUp()
        for folder in ("album/2025/deep", "folders/like.jpg", "iphone", "empty"):
            os.makedirs(folder)
        for name in ("2025/x.png", "2025/deep/y.png", "b.JPG", "a.png", "Thumbs.db", "d.HEIC", "noending", ".x.png",
                     "c [1].png"):
            shutil.copy(self.names[0], f"album/{name}")
        shutil.copy(self.names[0], "iphone/1.HEIC")
        os.symlink(self.names[0], "link.png")

    @helpers.cases(
        (["face0[0-2].png"], ["face00.png", "face01.png", "face02.png"]),
        (["album/c [1].png", "album/a.png"], ["album/c [1].png", "album/a.png"]),
        (["album/*.png"], ["album/a.png", "album/c [1].png"]), (["album/2025"], ["album/2025/x.png"]),
        (["album/**/?.png"], ["album/2025/deep/y.png", "album/2025/x.png", "album/a.png"]),
        (["album/20*/**"], ["album/2025/deep/y.png", "album/2025/x.png"]))
    def test_a_word_is_a_file_a_folder_or_a_pattern(self, words, expected):
        self.assert_well(helpers.classify("--csv=out.csv", *words))
        self.assertEqual(expected, read_table()[0])

    @helpers.cases("album", "album/*")
    def test_what_does_not_end_as_a_picture_is_counted(self, word):
        self.assert_stated(helpers.classify("--csv=out.csv", word),
                           f"^{re.escape(os.path.abspath(word))}: left out: 3 files that do not end as a picture", 0)
        self.assertEqual(["album/a.png", "album/b.JPG", "album/c [1].png"], read_table()[0])

    @helpers.cases("folders", "iphone", "iphone/*.HEIC", "empty", "folders/like.jpg")
    def test_a_word_that_names_no_picture_is_an_error_and_the_others_are_answered(self, word):
        output = self.assert_stated(helpers.classify(word, self.names[0]),
                                    f"^Error: {re.escape(os.path.abspath(word))} holds no picture .* save them as JPEG")
        self.assertStartsWith(output, "face00.png: anger\n")

    @helpers.cases(
        (["--figure", "face00.png", "face01.png"], "--figure needs an equals sign"), (["-csv", "x.png"], "-csv needs"),
        (["--csv", "face00.png", "face01.png"], "--csv needs an equals sign"), ([], "Name the images to classify"),
        (["--figure=face01.png", "face0*.png"], ".*/face01.png is one of the images"), (["--box=", "x"], "--box= has"),
        (["--csv=./link.png", "face0*.png"], ".*link.png is one of the images"),
        (["--figure=out.png", *["face00.png"] * 21], "21 images are too many for a drawing, expected at most 20"))
    def test_wrong_usage_costs_no_photograph(self, words, pattern):
        before = helpers.states(".")
        result = helpers.run_script(EmotionDetectorTest, *words, "--logs_dir=logs")
        self.assert_stated(result, f"^Error: {pattern}.*--help lists", 2)
        self.assertEqual(before, helpers.states("."))


class DrawingTest(ClassifyTestCase):
    def draw(self, *args):
        """Classify and draw into x.png; return the figure, and the probabilities in the table."""
        with mock.patch.object(Figure, "savefig", autospec=True) as savefig:
            self.assert_well(helpers.classify("--figure=x.png", "--csv=out.csv", *args))
        return savefig.call_args.args[0], read_table()[1]

    def test_up_to_twenty_images_have_a_row_each(self):
        self.assertLen(self.draw(*(self.names * 3)[:20])[0].axes, 60)

    def test_a_title_has_at_most_24_letters_the_last_of_a_name(self):
        names = ["a" * 20 + ".png", "b" * 21 + ".png"]
        for name in names:
            shutil.copy(self.names[0], name)
        figure, _ = self.draw(*names)
        self.assertEqual([names[0], "\u2026" + names[1][2:]], [axes.get_title() for axes in figure.axes[::3]])

    @helpers.cases(("none/out.png", "none/out.png: No such file"),
                   ("out.xyz", "out.xyz cannot be written .Format 'xyz' is not supported"))
    def test_a_drawing_that_cannot_be_written(self, name, pattern):
        self.assert_stated(helpers.classify(f"--figure={name}", self.names[0]), f"^Error: {self.folder}/{pattern}")

    @helpers.cases(([], (150, 0, 600, 600)), (["--box=800,500,100,90.5"], (800, 500, 100, 90.5)))
    def test_the_photograph_with_its_box_in_its_own_pixels(self, flags, expected):
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (600, 900, 3)).astype(np.uint8)).save("wide.jpg")
        photograph, seen, _ = self.draw(*flags, "wide.jpg")[0].axes
        picture, = photograph.images
        self.assertEqual(([0, 900, 600, 0], (0, 255)), (picture.get_extent(), picture.get_clim()))
        self.assertEqual((267, 400, 3), picture.get_array().shape)  # smaller, and in colour
        box, = photograph.patches
        self.assertEqual((expected, False), ((*box.get_xy(), box.get_width(), box.get_height()), box.get_clip_on()))
        image = EmotionDetectorUtils.read_image("wide.jpg", expected)
        np.testing.assert_array_equal(image[:, :, 0], seen.images[0].get_array())

    def test_the_answer_in_seven_bars_and_what_the_network_saw_as_dark_as_it_is(self):
        figure, answers = self.draw(*self.names[:3])
        for row, probabilities in enumerate(answers):
            photograph, seen, bars = figure.axes[3 * row:3 * row + 3]
            self.assertEqual((f"face0{row}.png", "what the network saw"), (photograph.get_title(), seen.get_title()))
            self.assertEqual(((0, 1), "upper"), (seen.images[0].get_clim(), seen.images[0].origin))
            self.assertFalse(photograph.axison or seen.axison)
            image = EmotionDetectorUtils.read_image(self.names[row])
            np.testing.assert_array_equal(image[:, :, 0], seen.images[0].get_array())
            np.testing.assert_allclose([bar.get_width() for bar in bars.patches], 100 * probabilities, rtol=1e-5)
            self.assertEqual([f"{100 * value:.0f} %" for value in probabilities], [t.get_text() for t in bars.texts])
            self.assertEqual(helpers.EMOTIONS, [tick.get_text() for tick in bars.get_yticklabels()])
            self.assertEqual((0, True), (bars.get_xlim()[0], bars.yaxis_inverted()))  # anger stands at the top
            self.assertEqual(f"{helpers.EMOTIONS[probabilities.argmax()]} {probabilities.max():.0%}", bars.get_title())
        self.assertEqual("", figure.get_supxlabel())

    def test_a_drawing_says_that_a_model_has_seen_drawn_faces_only(self):
        with mock.patch.object(EmotionDetector, "read_fingerprint", return_value="practice faces:0"):
            self.assert_stated(helpers.classify("--figure=x.svg", self.names[0]), "has never seen a photograph", 0)
        with open("x.svg") as file:
            self.assertIn("This model was trained on drawn practice faces", file.read())


class WindowTest(ClassifyTestCase):
    def show(self, act, *args):
        """Classify with --show; while a window is open, `act` is called with its three axes."""
        self.addCleanup(plt.close, "all")
        with (mock.patch.object(EmotionDetectorUtils, "open_pyplot", return_value=plt),
              mock.patch.object(plt, "show", lambda: act(*plt.gcf().axes))):
            return helpers.classify("--show", *args)

    def drag(self, axes, start, end):
        """Drag the mouse from one point of a photograph to another, in its pixels."""
        canvas = axes.figure.canvas
        for name, point in (("button_press_event", start), ("motion_notify_event", end), ("button_release_event", end)):
            canvas.callbacks.process(name, MouseEvent(name, canvas, *axes.transData.transform(point), button=1))

    def test_a_dragged_box_is_answered_as_that_box_given_in_numbers(self):
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (500, 900)).astype(np.uint8)).save("noise.png")
        drawn = []

        def act(photograph, seen, bars):
            for start, end in (((133, 21), (395, 278.6)), ((600, 250), (899.7, 450)), ((700, 480), (500, 300))):
                self.drag(photograph, start, end)
                box, = (patch for patch in photograph.patches if patch.get_visible())
                drawn.append((box.get_bbox().bounds, seen.images[0].get_array(),
                              [bar.get_width() / 100 for bar in bars.patches], bars.get_title()))

        output = self.assert_well(self.show(act, "noise.png"))
        asked = re.findall(r"^noise.png --box=(\S+): (\w+)$", output, re.MULTILINE)
        expected = [[133, 21, 262, 258], [600, 250, 300, 200], [500, 300, 200, 180]]  # to the edge, from below
        np.testing.assert_allclose(expected, [list(map(int, box.split(","))) for box, _ in asked], atol=1)
        for (box, emotion), (bounds, image, probabilities, title) in zip(asked, drawn, strict=True):
            answer = self.assert_well(helpers.classify("--csv=out.csv", f"--box={box}", "noise.png"))
            self.assertStartsWith(answer, f"noise.png: {emotion}\n")
            np.testing.assert_allclose(read_table()[1][0], probabilities, atol=1e-6)
            np.testing.assert_array_equal(EmotionDetectorUtils.read_image("noise.png", box.split(","))[:, :, 0], image)
            self.assertEqual((f"{emotion} {max(probabilities):.0%}", tuple(map(int, box.split(",")))), (title, bounds))

    def test_a_box_that_cannot_be_leaves_the_answer_before_it(self):
        Image.new("L", (200, 120)).save("black.png")

        def act(photograph, _seen, bars):
            before = photograph.patches[0].get_bbox().bounds, bars.get_title()
            for end in (50, 60), (50, 90), (90, 60):
                self.drag(photograph, (50, 60), (56, 66))
                self.drag(photograph, (50, 60), end)  # a click, or without width or height: says nothing
            self.assertEqual(before, (photograph.patches[0].get_bbox().bounds, bars.get_title()))

        status, output, errors = self.show(act, "black.png")
        self.assertEqual((0, 0, 3), (status, output.count("--box"), errors.count("\n")))
        self.assertRegex(errors, "^(Error: --box=50,60,6,6 does not lie in /.*\n){3}$")

    def test_each_photograph_has_a_window_of_its_own(self):
        seen = []
        self.assert_well(self.show(lambda photograph, *_: seen.append(photograph.get_title()), *self.names[:3]))
        self.assertEqual([f"{name}\ndrag a box over the face" for name in self.names[:3]], seen)

    def test_in_a_notebook_the_drawing_is_shown_as_it_is(self):
        def act(photograph, *_):
            self.assertEqual(self.names[0], photograph.get_title())
            self.drag(photograph, (5, 5), (40, 40))

        with mock.patch.object(EmotionDetectorUtils, "INTERACTIVE", True):
            self.assertNotIn("--box", self.assert_well(self.show(act, self.names[0])))
