"""The saved model: EmotionDetectorTest.py, --mode=test, the book's own checkpoints."""
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import helpers
import numpy as np
import tensorflow.compat.v1 as tf
from absl.testing import parameterized
from PIL import Image

import EmotionDetector
import EmotionDetectorTest
import EmotionDetectorUtils


def read_table(path):
    """The rows of a CSV file as dictionaries."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def probabilities(rows):
    """The seven probabilities of each row of a table: [n, 7]."""
    return np.array([[float(row[emotion]) for emotion in EmotionDetectorUtils.EMOTIONS]
                     for row in rows])


def write_pictures(pixels):
    """Write faces [n, 2304] as face00.png ... and return the names."""
    names = [f"face{number:02}.png" for number in range(len(pixels))]
    for name, row in zip(names, pixels):
        Image.fromarray(row.reshape(48, 48).astype(np.uint8)).save(name)
    return names


class ClassifyTest(helpers.TestCase):
    """All tests look at one model, trained for 31 iterations."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.data = helpers.write_data(os.path.join(folder.name, "data"))
        cls.logs = os.path.join(folder.name, "logs")
        status, _, errors = helpers.run_script(
            EmotionDetector, f"--data_dir={cls.data}", f"--logs_dir={cls.logs}",
            "--max_iterations=31")
        assert status == 0, errors

    def classify(self, *args):
        return helpers.run_script(EmotionDetectorTest, f"--logs_dir={self.logs}", *args)

    def test_prints_each_image_and_seven_percentages(self):
        labels, pixels = helpers.faces(5)
        names = write_pictures(pixels)
        status, output, errors = self.classify(*names)
        self.assertEqual((0, ""), (status, errors))
        lines = output.splitlines()
        self.assertEqual(8 * 5, len(lines))
        for number, name in enumerate(names):
            head, *answers = lines[8 * number:8 * number + 8]
            found = [re.fullmatch(r"(\w+) = (\d+\.\d\d)%", line).groups() for line in answers]
            self.assertEqual(list(EmotionDetectorUtils.EMOTIONS), [emotion for emotion, _ in found])
            percentages = [float(percentage) for _, percentage in found]
            self.assertAlmostEqual(100, sum(percentages), delta=0.05)
            self.assertEqual(f"{name}: {found[np.argmax(percentages)][0]}", head)
            self.assertEqual(labels[number], np.argmax(percentages))
        self.assertEqual(output, self.classify(*names)[1])

    def test_same_answers_as_mode_test(self):
        status, output, errors = helpers.run_script(
            EmotionDetector, "--mode=test", f"--data_dir={self.data}", f"--logs_dir={self.logs}")
        self.assertEqual((0, ""), (status, errors))
        predictions = read_table(os.path.join(self.logs, "predictions.csv"))
        self.assertEqual([str(number) for number in range(1, 10)],
                         [row["Id"] for row in predictions])
        self.assertEqual([str(number) for number in probabilities(predictions).argmax(axis=1)],
                         [row["Emotion"] for row in predictions])

        names = write_pictures(helpers.faces(9, seed=1)[1])
        self.classify("--csv=answers.csv", *names)
        answers = read_table("answers.csv")
        self.assertEqual(names, [row["path"] for row in answers])
        np.testing.assert_allclose(probabilities(answers), probabilities(predictions), atol=1e-6)
        self.assertEqual([EmotionDetectorUtils.EMOTIONS[int(row["Emotion"])]
                          for row in predictions], [row["emotion"] for row in answers])

        table = [line.split() for line in output.splitlines()[-7:]]
        self.assertEqual(list(EmotionDetectorUtils.EMOTIONS), [row[0] for row in table])
        counts = np.array([row[1:] for row in table]).astype(int)
        self.assertEqual(4, counts[:, 0].sum())
        np.testing.assert_array_equal(counts[:, 0], counts[:, 2:].sum(axis=1))
        np.testing.assert_array_equal(counts[:, 1], counts[:, 2:].diagonal())
        accuracy = float(re.search(r"Validation Accuracy: (.*)", output).group(1))
        self.assertAlmostEqual(counts[:, 1].sum() / 4, accuracy)
        for name in ("confusion_matrix.png", "loss.png"):
            self.assertGreater(min(helpers.picture_size(os.path.join(self.logs, name))), 400)

    def test_without_a_test_set_no_predictions(self):
        helpers.write_csv("alone/train.csv", *helpers.faces(40))
        shutil.copytree(self.logs, "logs", ignore=shutil.ignore_patterns("predictions.csv"))
        status, output, errors = helpers.run_script(
            EmotionDetector, "--mode=test", "--data_dir=alone", "--logs_dir=logs")
        self.assertEqual((0, "No test set: predictions.csv is not written.\n"), (status, errors))
        self.assertIn("Test size: 0\n", output)
        self.assertNotIn("predictions.csv", helpers.names("logs"))

    def test_one_bad_image_among_three(self):
        names = write_pictures(helpers.faces(2)[1])
        status, output, errors = self.classify(names[0], "missing.jpg", names[1])
        self.assertEqual(1, status)
        self.assertRegex(errors, r"^Error: missing\.jpg [^\n]*\n$")
        self.assertEqual(2, len(re.findall(r"^face\d\d\.png: \w+$", output, re.MULTILINE)))

    def test_figure_of_ten_images(self):
        names = write_pictures(helpers.faces(10)[1])
        status, _, errors = self.classify("--figure=sheet.png", *names)
        self.assertEqual((0, ""), (status, errors))
        self.assertEqual((1800, 1500), helpers.picture_size("sheet.png"))

    def test_a_moved_folder_still_restores(self):
        moved = os.path.join(self.folder, "moved")
        shutil.copytree(self.logs, moved)
        names = write_pictures(helpers.faces(1)[1])
        hidden = self.logs + ".hidden"
        os.rename(self.logs, hidden)
        try:
            status, _, errors = helpers.run_script(
                EmotionDetectorTest, f"--logs_dir={moved}", *names)
        finally:
            os.rename(hidden, self.logs)
        self.assertEqual((0, ""), (status, errors))

    def test_an_image_named_twice_is_answered_twice(self):
        names = write_pictures(helpers.faces(1)[1]) * 2
        status, output, _ = self.classify("--csv=out.csv", *names)
        self.assertEqual((0, 2), (status, output.count("face00.png: ")))
        self.assertEqual(names, [row["path"] for row in read_table("out.csv")])

    def test_a_name_that_no_letters_spell(self):
        name = os.fsdecode(b"f\xe4ce \xe7\xac\x91.png")
        os.rename(*write_pictures(helpers.faces(1)[1]), name)
        status, output, errors = self.classify("--csv=out.csv", "--figure=out.png", name)
        self.assertEqual((0, ""), (status, errors))
        self.assertIn("f\\udce4ce \u7b11.png: ", output)
        with open("out.csv", encoding="utf-8", errors="surrogateescape", newline="") as file:
            self.assertEqual([name], [row["path"] for row in csv.DictReader(file)])

    def test_other_data_may_be_tested_on(self):
        helpers.write_data("other", count=50)
        status, _, errors = helpers.run_script(
            EmotionDetector, "--mode=test", "--data_dir=other", f"--logs_dir={self.logs}")
        self.assertEqual(0, status)
        self.assertIn("trained on other data", errors)

    def test_without_an_image_or_a_model(self):
        self.assertEqual(2, self.classify()[0])
        names = write_pictures(helpers.faces(1)[1])
        for module, args in ((EmotionDetectorTest, names),
                             (EmotionDetector, ["--mode=test", f"--data_dir={self.data}"])):
            status, _, errors = helpers.run_script(module, "--logs_dir=nowhere", *args)
            self.assertEqual(1, status)
            self.assertRegex(errors, r"^Error: nowhere holds no model: train one first.*\n$")

    def test_a_practice_model_warns(self):
        helpers.run_script(EmotionDetector, "--logs_dir=practice", "--max_iterations=1")
        names = write_pictures(helpers.faces(1)[1])
        status, _, errors = helpers.run_script(EmotionDetectorTest, "--logs_dir=practice", *names)
        self.assertEqual(0, status)
        self.assertIn("has never seen a photograph", errors)


def dropout_of_2016(x):
    """`tf.nn.dropout(x, 0.5)` as TensorFlow 0.12 built it; returns what turns it off, too."""
    with tf.name_scope("dropout"):
        keep_prob = tf.constant(0.5, name="keep_prob")
        kept = tf.floor(keep_prob + tf.random_uniform(tf.shape(x)))
        return tf.divide(x, keep_prob) * kept, {keep_prob: 1.0}


def dropout_of_2018(x):
    """The same as TensorFlow 1.13 built it."""
    with tf.name_scope("dropout"):
        rate = tf.constant(0.5, name="rate")
        kept = tf.cast(tf.random_uniform(tf.shape(x)) >= rate, tf.float32)
        return x * (1 / (1 - rate)) * kept, {rate: 0.0}


def dropout_of_today(x):
    """The same as the installed TensorFlow builds it."""
    x_dropout = tf.nn.dropout(x, 0.5)
    return x_dropout, {x_dropout.op.name.replace("SelectV2", name): value for name, value in (
        ("GreaterEqual/y:0", 0.0), ("Const:0", 1.0))}


def run_book_program(folder, dropout):
    """Train one step and save, in the graph that the chapter prints, as TensorFlow 0.12 built it.

    Its variables are not yet resources. Returns what it answers with its dropout off.
    """
    with tf.Graph().as_default(), tf.variable_scope("", use_resource=False):
        weights, biases = {}, {}
        for name, shape in (("W_conv1", [5, 5, 1, 32]), ("W_conv2", [3, 3, 32, 64]),
                            ("W_fc1", [9216, 256]), ("W_fc2", [256, 7])):
            initial = tf.truncated_normal(shape, stddev=0.02, seed=1)
            weights[name] = tf.get_variable(name, initializer=initial)
        for name, size in (("b_conv1", 32), ("b_conv2", 64), ("b_fc1", 256), ("b_fc2", 7)):
            biases[name] = tf.get_variable(name, initializer=tf.constant(0.0, shape=[size]))
        input_dataset = tf.placeholder(tf.float32, [None, 48, 48, 1], name="input")
        input_labels = tf.placeholder(tf.float32, [None, 7])
        global_step = tf.Variable(0, trainable=False, use_resource=False)
        hidden = input_dataset
        for layer in ("conv1", "conv2"):
            with tf.name_scope(layer):
                kernel, bias = weights["W_" + layer], biases["b_" + layer]
                hidden = tf.nn.conv2d(hidden, kernel, strides=[1, 1, 1, 1], padding="SAME")
                hidden = tf.nn.relu(tf.nn.bias_add(hidden, bias))
                hidden = tf.nn.max_pool(hidden, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
                for term in (kernel, bias):
                    tf.add_to_collection("losses", tf.nn.l2_loss(term))
        with tf.name_scope("fc_1"):
            hidden = tf.reshape(hidden, [-1, 9216])
            hidden = tf.nn.relu(tf.matmul(hidden, weights["W_fc1"]) + biases["b_fc1"])
            hidden, dropout_off = dropout(hidden)
        with tf.name_scope("fc_2"):
            pred = tf.matmul(hidden, weights["W_fc2"]) + biases["b_fc2"]
        output_pred = tf.nn.softmax(pred, name="output")
        loss_val = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits_v2(
            logits=pred, labels=input_labels)) + 1e-2 * tf.add_n(tf.get_collection("losses"))
        train_op = tf.train.AdamOptimizer(1e-3).minimize(loss_val, global_step)
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            labels, pixels = helpers.faces(20)
            images = EmotionDetectorUtils.to_images(pixels)
            sess.run(train_op, {input_dataset: images, input_labels: np.eye(7)[labels]})
            os.makedirs(folder)
            tf.train.Saver().save(sess, folder + "/model.ckpt", global_step=0)
            return sess.run(output_pred, {input_dataset: images} | dropout_off)


class BookCheckpointTest(helpers.TestCase, parameterized.TestCase):

    @parameterized.parameters(dropout_of_2016, dropout_of_2018, dropout_of_today)
    def test_classified_tested_and_trained_on(self, dropout):
        expected = run_book_program("book", dropout)
        self.assertEqual(27, len(tf.train.list_variables("book")))
        names = write_pictures(helpers.faces(20)[1])
        for number in range(2):
            status, _, errors = helpers.run_script(
                EmotionDetectorTest, "--logs_dir=book", f"--csv={number}.csv", *names)
            self.assertEqual((0, ""), (status, errors))
        first, second = probabilities(read_table("0.csv")), probabilities(read_table("1.csv"))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, expected, atol=1e-6)

        helpers.write_data("data")
        for args in (["--mode=test"], ["--max_iterations=3"]):
            status, output, errors = helpers.run_script(
                EmotionDetector, "--data_dir=data", "--logs_dir=book", *args)
            self.assertEqual((0, ""), (status, errors))
            self.assertIn("Model Restored!", output)
        self.assertEqual(3, tf.train.load_variable("book/model.ckpt-2", "Variable"))


class PreviewTest(helpers.TestCase):

    def test_look_at_the_data(self):
        helpers.write_data("data")
        script = os.path.join(helpers.ROOT, "EmotionDetectorUtils.py")
        result = subprocess.run([sys.executable, script, "--data_dir=data", "--figure=first.png"],
                                capture_output=True, text=True, check=False)
        self.assertEqual((0, ""), (result.returncode, result.stderr))
        label = EmotionDetectorUtils.read_data("data")[1][0]
        self.assertEqual(["train images shape =  (36, 48, 48, 1)", "train labels shape =  (36, 7)",
                          "test labels shape =  (9, 48, 48, 1)", "image_0 shape =  (48, 48, 1)",
                          f"label set =  {label}"], result.stdout.splitlines())
        self.assertGreater(min(helpers.picture_size("first.png")), 400)


if __name__ == "__main__":
    unittest.main()
