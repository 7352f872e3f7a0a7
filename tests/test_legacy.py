"""The number that TensorFlow 1.15.5 gave, and what is too small to be seen in it."""
import ast
import os
from unittest import mock

import helpers
import legacy
import numpy as np
import tensorflow.compat.v1 as tf

import EmotionDetectorUtils

# What `tests/legacy.py` printed in TensorFlow 1.15.5 with Python 3.7; variables as [shape, mean of |values|].
TENSORFLOW_1 = {
    "losses": [
        2.917818, 2.897289, 2.767341, 2.623296, 2.396586, 2.063121, 1.709435, 1.367675],
    "before": [
        0.1294806, 0.1133418, 0.178441, 0.155071, 0.1226013, 0.1365477, 0.1645166, 0.1294701, 0.1133193,
        0.1785108, 0.1551783, 0.1225369, 0.1364889, 0.1644955, 0.1295215, 0.1134339, 0.1785311, 0.1550404,
        0.1224358, 0.136473, 0.1645644],
    "after": [
        0.8961896, 0.06787711, 0.0050547, 0.006122508, 0.006054159, 0.01396939, 0.004732418, 0.009476631,
        0.008740391, 0.005200799, 0.01377613, 0.06405914, 0.8805999, 0.01814701, 0.01261077, 0.02721069,
        0.05592733, 0.7671785, 0.08694739, 0.04252805, 0.007597266],
    "variables": {
        "Variable": [[], 8.0], "W_conv1": [[5, 5, 1, 32], 0.2404662],
        "W_conv1/Adam": [[5, 5, 1, 32], 0.00410601], "W_conv1/Adam_1": [[5, 5, 1, 32], 9.809327e-07],
        "W_conv2": [[3, 3, 32, 64], 0.06678053], "W_conv2/Adam": [[3, 3, 32, 64], 0.001379395],
        "W_conv2/Adam_1": [[3, 3, 32, 64], 1.444336e-07], "W_fc1": [[9216, 256], 0.01297518],
        "W_fc1/Adam": [[9216, 256], 3.770705e-05], "W_fc1/Adam_1": [[9216, 256], 4.271514e-10],
        "W_fc2": [[256, 7], 0.003797865], "W_fc2/Adam": [[256, 7], 0.03934675],
        "W_fc2/Adam_1": [[256, 7], 0.0001538249], "b_conv1": [[32], 0.1124168],
        "b_conv1/Adam": [[32], 0.002333372], "b_conv1/Adam_1": [[32], 3.80468e-07],
        "b_conv2": [[64], 0.1516392], "b_conv2/Adam": [[64], 0.001169705],
        "b_conv2/Adam_1": [[64], 9.657239e-08], "b_fc1": [[256], 0.1492536],
        "b_fc1/Adam": [[256], 3.111267e-05], "b_fc1/Adam_1": [[256], 5.136975e-10], "b_fc2": [[7], 0.1386392],
        "b_fc2/Adam": [[7], 0.002777204], "b_fc2/Adam_1": [[7], 7.769209e-06], "beta1_power": [[], 0.3874204],
        "beta2_power": [[], 0.9910361]},
}


class LegacyTest(helpers.TestCase):

    def assert_variables(self, found):
        """Names, shapes and means are those of TensorFlow 1."""
        expected = TENSORFLOW_1["variables"]
        self.assertEqual({name: shape for name, (shape, _) in expected.items()},
                         {name: shape for name, (shape, _) in found.items()})
        for name, (_, mean) in expected.items():
            np.testing.assert_allclose(found[name][1], mean, rtol=1e-3, err_msg=name)

    def test_the_network_learns_as_in_tensorflow_1(self):
        found = legacy.train()
        np.testing.assert_allclose(found["before"], TENSORFLOW_1["before"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(found["losses"], TENSORFLOW_1["losses"], rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["after"], TENSORFLOW_1["after"], rtol=0, atol=1e-4)
        self.assert_variables(found["variables"])

    def test_main_learns_as_in_tensorflow_1(self):
        """The loop, the batches and the optimizer of `main`, from a checkpoint of the same weights."""
        images, labels, weights = legacy.inputs()
        with tf.Graph().as_default(), tf.variable_scope("", use_resource=False), tf.Session() as sess:
            legacy.build()
            legacy.set_weights(sess, weights)
            os.mkdir("logs")
            tf.train.Saver().save(sess, "logs/model.ckpt", global_step=0)
        helpers.write_data()
        data = images, labels, images[:9], labels[:9], images[:0]
        with (mock.patch.object(EmotionDetectorUtils, "read_data", return_value=data),
              mock.patch.object(tf.nn, "dropout", lambda x, keep_prob: x)):
            self.assertIn("Model Restored!", self.assert_well(helpers.train(f"--max_iterations={legacy.STEPS}")))
        reader = tf.train.load_checkpoint("logs/model.ckpt-7")
        self.assert_variables(legacy.means({
            name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}))

    @EmotionDetectorUtils.new_graph()
    def test_the_first_weights_are_the_book_s(self):
        legacy.build()
        with tf.Session() as sess:
            sess.run(tf.global_variables_initializer())
            values = {variable.op.name: sess.run(variable) for variable in tf.trainable_variables()}
        for name, value in values.items():
            if name.startswith("b_"):
                np.testing.assert_array_equal(0, value)
            else:
                self.assertLessEqual(abs(value).max(), 0.04)  # truncated at twice the deviation
        self.assertAlmostEqual(0.0176, values["W_fc1"].std(), delta=1e-4)  # 0.020 without truncation

    def test_dropout_is_on_where_main_trains_and_off_elsewhere(self):
        helpers.write_data()
        run, kept = tf.Session.run, []

        def watching_run(sess, fetches, feed_dict=None):
            names = [getattr(key, "name", key) for key in feed_dict or {}]
            if "input:0" in names:
                kept.append((getattr(fetches, "name", ""), run(sess, "dropout_prob:0", feed_dict)))
            return run(sess, fetches, feed_dict)

        with mock.patch.object(tf.Session, "run", watching_run):
            self.assert_well(helpers.train("--max_iterations=1"))
            self.assert_well(helpers.train("--mode=test"))
        self.assertEqual([("Adam", 0.5), ("", 0.5)], kept[:2])  # a step; loss and summary of its batch
        self.assertEqual([("add:0", 1), ("output:0", 1)], kept[2:4])  # loss and accuracy of the validation set
        self.assertEqual([("add:0", 1), ("", 1), ("", 1)], kept[4:])  # --mode=test

    def test_python_3_7_can_read_it(self):
        for name in ("EmotionDetector.py", "tests/legacy.py"):
            with open(os.path.join(helpers.ROOT, name), encoding="utf-8") as file:
                ast.parse(file.read(), feature_version=(3, 7))
