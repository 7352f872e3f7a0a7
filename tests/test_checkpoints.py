"""Checkpoints: damaged, moved, of other programs, of the book's own, old formats."""
import os
import re
import shutil
from unittest import mock

import helpers
import legacy
import numpy as np
import tensorflow.compat.v1 as tf

import EmotionDetector
import EmotionDetectorTest
import EmotionDetectorUtils

INDEX, META, DATA = ".index", ".meta", ".data-00000-of-00001"


def rename(before, after):
    """Rename a model in ./logs."""
    for ending in INDEX, META, DATA:
        os.rename(f"logs/{before}{ending}", f"logs/{after}{ending}")


def remove_all_but(*endings):
    """Remove from ./logs what ends otherwise."""
    for name in os.listdir("logs"):
        if not name.endswith(endings):
            os.remove(f"logs/{name}")


class CheckpointTest(helpers.TestCase):
    def setUp(self):
        super().setUp()
        helpers.write_model()
        helpers.write_pictures(helpers.faces(1)[1])

    def find(self, folder="logs"):
        """The model that both scripts find in a folder; as `helpers.finish`."""
        def main(_):
            with EmotionDetector.checkpoint_errors():
                ckpt = tf.train.get_checkpoint_state(folder)
                path = EmotionDetector.find_checkpoint(ckpt, needed=True).model_checkpoint_path
                print(path.removeprefix(f"{self.folder}/{folder}/"))

        return helpers.run_script(EmotionDetector, f"--logs_dir={folder}", main=main)

    def assert_found(self, name):
        self.assertEqual(f"{name}\n", self.assert_well(self.find()))

    def assert_not_restored(self):
        """Training on and classifying tell it and change no file."""
        before = helpers.states("logs")
        for result in helpers.classify("face00.png"), helpers.train("--max_iterations=32"):
            self.assert_stated(result, rf"^Error: The model in {self.folder}/logs cannot be restored \(.+\): name "
                               "another folder with --logs_dir, or bring it back from a copy.$")
        self.assertEqual(before, helpers.states("logs"))


class DamageTest(CheckpointTest):
    @helpers.cases((INDEX, 0), (INDEX, 0.5), (META, 0), (META, 0.5), (DATA, 0.5))
    def test_a_truncated_file(self, ending, share):
        path = f"logs/model.ckpt-30{ending}"
        with open(path, "rb") as file:
            whole = file.read()
        helpers.write(path, whole[:int(share * len(whole))])
        self.assert_not_restored()

    def test_without_its_graph_a_model_is_restored(self):
        os.remove("logs/model.ckpt-30.meta")
        self.assert_well(helpers.classify("face00.png"))
        output = self.assert_well(helpers.train("--max_iterations=1"))
        self.assertIn("Model Restored!\nThe model is trained: 31 iterations are done.", output)

    @helpers.cases(b"", b"\x80\xff\x00", b"model_checkpoint_path: x\n", b'\xef\xbb\xbfmodel_checkpoint_path: "x"\n')
    def test_a_file_checkpoint_that_cannot_be_read_is_not_taken_for_none(self, content):
        helpers.write("logs/checkpoint", content)
        self.assert_stated(self.find(), f"^Error: ({self.folder}/logs/checkpoint cannot be read: expected the line "
                           f"model_checkpoint_path: \"NAME\"|The model in {self.folder}/logs cannot be restored )")

    @helpers.cases({"W_conv1": [3, 3, 1, 32]}, {"kernel": [5, 5, 1, 32]})
    def test_another_network(self, **variables):
        with tf.Graph().as_default(), tf.Session() as sess:
            for name, shape in variables.items():
                tf.get_variable(name, shape)
            sess.run(tf.global_variables_initializer())
            tf.train.Saver().save(sess, "logs/model.ckpt", global_step=7)
        self.assert_not_restored()

    def test_weights_that_are_no_numbers(self):
        with mock.patch.object(EmotionDetector, "run_in_batches", return_value=np.full((1, 7), np.nan)):
            self.assert_stated(helpers.classify("face00.png"), "logs cannot be restored .its answer to a black image")

    @helpers.cases(
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nat length"), "OOM when allocating"),
        (tf.errors.ResourceExhaustedError(
            None, None, "2 root error(s) found.\n  (0) RESOURCE_EXHAUSTED: OOM\n\t [[{{node}}]]\n  (1) OTHER"), "OOM"),
        (MemoryError(), "MemoryError"), (OSError(5, "Input/output error", "/x"), "/x: Input/output error"))
    def test_what_is_no_fault_of_the_model_is_told_as_it_is(self, error, words):
        for owner, name in ((tf.train.Saver, "restore"), (EmotionDetector, "run_in_batches")):
            with mock.patch.object(owner, name, side_effect=error):
                self.assert_stated(helpers.classify("face00.png"), f"^Error: {words}.$")

    def test_an_error_of_the_program_is_a_traceback(self):
        with mock.patch.object(EmotionDetectorTest, "draw_answers", side_effect=KeyError), self.assertRaises(KeyError):
            helpers.classify("--figure=x.png", "face00.png")


class FindingTest(CheckpointTest):
    """The model is what `checkpoint` names, in this folder; without that file the whole one of the highest number."""

    @helpers.cases((r"C:\\Users\\x\\logs\\model.ckpt-30", 30), ("/home/x/model.ckpt-30", 30), ("model.ckpt-0", 0))
    def test_what_checkpoint_names_perhaps_on_another_machine(self, path, step):
        helpers.write("logs/checkpoint", f'model_checkpoint_path: "{path}"\nall_model_checkpoint_paths: "{path}"\n')
        self.assert_found(f"model.ckpt-{step}")

    @helpers.cases("model.ckpt-9", "model.ckpt", "best.ckpt-29")
    def test_without_checkpoint_the_highest_number_counts_where_letters_have_9_after_30(self, lower):
        os.remove("logs/checkpoint")
        rename("model.ckpt-0", lower)
        self.assert_found("model.ckpt-30")

    @helpers.cases(INDEX, META, DATA, DATA + ".tempstate17")
    def test_without_checkpoint_a_part_of_a_higher_number_does_not_count(self, ending):
        os.remove("logs/checkpoint")
        helpers.write(f"logs/model.ckpt-100{ending}", "")
        self.assert_found("model.ckpt-30")

    @helpers.cases("model.ckpt-best", "best_model.ckpt", "69-9.91")
    def test_weights_under_any_name(self, name):
        remove_all_but("-30.index", "-30.meta", "-30" + DATA)
        rename("model.ckpt-30", name)
        self.assert_found(name)
        self.assert_well(helpers.classify("face00.png"))

    @helpers.cases(("-30" + DATA,), ("-30" + DATA, "-30.meta"), ("-30.index",))
    def test_parts_of_a_model_never_start_from_step_0(self, *endings):
        remove_all_but(*endings)
        self.assert_stated(helpers.train("--max_iterations=32"), f"^Error: .*{self.folder}/logs.*("
                           "model.ckpt-30.index is missing: bring it back|data-00000-of-00001; No such file)")

    def test_what_a_kill_at_the_first_save_leaves_is_no_model(self):
        remove_all_but("-0.meta")
        helpers.write("logs/model.ckpt-0.data-00000-of-00001.tempstate17", "")
        self.assert_stated(self.find(), f"^Error: {self.folder}/logs holds no model: ")
        self.assertNotIn("Restored", self.assert_well(helpers.train("--max_iterations=1")))

    def test_no_model(self):
        shutil.rmtree("logs")
        for result in helpers.classify("face00.png"), helpers.train("--mode=test"):
            self.assert_stated(result, f"^Error: {self.folder}/logs holds no model: train one first.*download .*--logs")
        self.assertFalse(os.path.exists("logs"))

    @helpers.cases("logs/model.ckpt-30", "logs/model.ckpt-30.index", "logs/checkpoint", "model.ckpt-7", "face00.png")
    def test_a_file_or_a_model_s_name_is_no_folder(self, name):
        self.assert_stated(self.find(name), f"^Error: {self.folder}/{name} is not a folder: ")

    @helpers.cases("run [2]", "run*", "a?", "back\\slash")
    def test_a_pattern_is_refused(self, folder):
        os.rename("logs", folder)
        self.assert_stated(self.find(folder), f"^Error: --logs_dir={re.escape(folder)}: .* are a pattern: rename the ")

    @helpers.cases("checkpoint", "model.ckpt-7", "run (2), 3", "\u00fcml\u00e4ut")
    def test_a_folder_may_have_other_names(self, folder):
        os.rename("logs", folder)
        self.assert_well(helpers.classify(f"--logs_dir={folder}", "face00.png"))


def dropout_of_2016(x):
    """`tf.nn.dropout(x, 0.5)` as TensorFlow 0.12 built it."""
    keep_prob = tf.constant(0.5, name="dropout/keep_prob")
    return tf.divide(x, keep_prob) * tf.floor(keep_prob + tf.random_uniform(tf.shape(x)))


def dropout_of_today(x, dropout=tf.nn.dropout):
    """The same as the installed TensorFlow builds it."""
    return dropout(x, 0.5)


def dropout_of_a_reader(x, dropout=tf.nn.dropout):
    """A reader's repair of the chapter: its placeholder is used, and has to be fed."""
    return dropout(x, tf.placeholder(tf.float32, name="dropout_prob"))


def run_book_program(dropout, write_version=tf.train.SaverDef.V2):
    """Train one step and save in ./logs, in the graph that the chapter prints; return its answers without dropout."""
    with (tf.Graph().as_default(), tf.variable_scope("", use_resource=False), tf.Session() as sess,
          mock.patch.object(tf.nn, "dropout", lambda x, prob: dropout(x))):
        input_dataset, input_labels, _, _, train_op = legacy.build()
        sess.run(tf.global_variables_initializer())
        labels, pixels = helpers.faces(20)
        feed = {input_dataset: EmotionDetectorUtils.to_images(pixels), input_labels: np.eye(7)[labels]}
        sess.run(train_op, feed | ({"fc_1/dropout_prob:0": 0.5} if dropout is dropout_of_a_reader else {}))
        os.makedirs("logs")
        tf.train.Saver(write_version=write_version).save(sess, "logs/model.ckpt", global_step=0)
        hidden, weights, biases = sess.run(["fc_1/Relu:0", "W_fc2:0", "b_fc2:0"], feed)
        exponents = np.exp(hidden @ weights + biases)
        return exponents / exponents.sum(axis=1, keepdims=True)


class BookCheckpointTest(helpers.TestCase):
    @helpers.cases(dropout_of_2016, dropout_of_today, dropout_of_a_reader)
    def test_it_gives_one_answer_that_without_dropout(self, dropout):
        expected = run_book_program(dropout)
        names = helpers.write_pictures(helpers.faces(7)[1])
        answers = []
        for _ in range(2):
            self.assert_well(helpers.classify("--csv=answers.csv", *names))
            answers.append(np.loadtxt("answers.csv", delimiter=",", skiprows=1, usecols=range(2, 9)))
        np.testing.assert_array_equal(*answers)
        np.testing.assert_allclose(answers[0], expected[:7], atol=1e-5)

    def test_in_the_old_format_and_without_checkpoint_it_is_tested_and_trained_on(self):
        run_book_program(dropout_of_2016, tf.train.SaverDef.V1)
        os.remove("logs/checkpoint")
        self.assertTrue(os.path.isfile("logs/model.ckpt-0"))
        helpers.write_data(count=20)
        for args in (["--mode=test"], ["--max_iterations=3"]):
            self.assertIn("Model Restored!", self.assert_well(helpers.train(*args)))
        self.assertEqual(3, tf.train.load_variable("logs/model.ckpt-2", "Variable"))

    def test_drawn_faces_are_never_taken_for_its_data(self):
        run_book_program(dropout_of_today)
        before = helpers.states("logs")
        for flag in "--mode=test", "--max_iterations=3":
            with mock.patch.object(EmotionDetectorUtils, "draw_faces", lambda count, seed: helpers.faces(20, seed)):
                status, _, errors = helpers.run_script(EmotionDetector, "--logs_dir=logs", flag)
            self.assertEqual((1, before), (status, helpers.states("logs")))
            self.assertRegex(errors, f"\nError: {self.folder}/logs/model.ckpt-0 does not say .*: name its data with -")
