"""The graph: its variables and names, and its arithmetic against NumPy and against TensorFlow 1."""
import ast
import os
from unittest import mock

import helpers
import legacy
import numpy as np
import tensorflow.compat.v1 as tf

import EmotionDetector
import EmotionDetectorUtils


def convolve(images, kernels, bias):
    """SAME convolution, ReLU and 2x2 max pooling in NumPy: [n, h, w, c] to [n, h/2, w/2, f]."""
    size = kernels.shape[0]
    padded = np.pad(images, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    result = np.maximum(np.einsum("nhwcyx,yxcf->nhwf", windows, kernels, optimize=True) + bias, 0)
    return np.maximum.reduce([result[:, y::2, x::2] for y in (0, 1) for x in (0, 1)])


class GraphTest(helpers.TestCase):
    @EmotionDetectorUtils.new_graph()
    def test_variables_collections_and_names(self):
        legacy.build()
        slots = {name + slot: shape for name, shape in legacy.SHAPES for slot in ("", "/Adam", "/Adam_1")}
        found = {variable.op.name: variable for variable in tf.global_variables()}
        self.assertEqual(slots | {"beta1_power": [], "beta2_power": [], "Variable": []},
                         {name: variable.shape.as_list() for name, variable in found.items()})
        self.assertEqual(("int32", 27), (found["Variable"].dtype.base_dtype.name, len(found)))
        self.assertEqual({"VariableV2"}, {variable.op.type for variable in found.values()})
        self.assertLen(tf.get_collection("losses"), 4)
        operations = tf.get_default_graph().get_operations()
        types = [operation.type for operation in operations]
        self.assertEqual((8, 2), (types.count("HistogramSummary"), types.count("ScalarSummary")))
        self.assertLessEqual({"conv1", "conv2", "fc_1", "fc_2"},
                             {operation.name.split("/")[0] for operation in operations})

    @EmotionDetectorUtils.new_graph()
    def test_forward_pass_and_loss_against_numpy(self):
        input_dataset, input_labels, answers, loss_val, _ = legacy.build()
        rng = np.random.RandomState(3)
        images, labels = rng.rand(3, 48, 48, 1).astype(np.float32), np.eye(7)[[2, 6, 0]]
        values = {name: rng.normal(0, 0.05, shape) for name, shape in legacy.SHAPES}
        with tf.Session() as sess:
            legacy.set_weights(sess, values)
            found, found_loss = sess.run([answers, loss_val], {input_dataset: images, input_labels: labels})

        hidden = convolve(images, values["W_conv1"], values["b_conv1"])
        hidden = convolve(hidden, values["W_conv2"], values["b_conv2"]).reshape(3, 9216)
        hidden = np.maximum(hidden @ values["W_fc1"] + values["b_fc1"], 0)
        exponents = np.exp(hidden @ values["W_fc2"] + values["b_fc2"])
        expected = exponents / exponents.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(expected, found, rtol=1e-4)
        entropy = -np.log(expected[labels == 1]).mean()
        squares = sum((values[name] ** 2).sum() / 2 for name in values if "conv" in name)
        self.assertAlmostEqual(entropy + 0.01 * squares, found_loss, delta=1e-4)

    @helpers.cases((3761, 0, 0), (3761, 28, 3584), (3761, 29, 79), (129, 7, 0), (128, 9, 0))
    def test_the_batch_of_a_step(self, count, step, offset):
        images, labels = np.arange(count), np.arange(count) * 2
        expected = np.arange(offset, offset + 128)
        np.testing.assert_array_equal([expected, expected * 2], EmotionDetector.get_next_batch(images, labels, step))


# What `tests/legacy.py` printed in TensorFlow 1.15.5 with Python 3.7.
LOSSES = [2.917818, 2.897289, 2.767341, 2.623296, 2.396586, 2.063121, 1.709435, 1.367675]
AFTER = [0.8961896, 0.06787711, 0.0050547, 0.006122508, 0.006054159, 0.01396939, 0.004732418]
MEANS = {"W_fc1/Adam": 3.770705e-05, "W_fc1/Adam_1": 4.271514e-10, "W_conv1": 0.2404662, "W_fc2": 0.003797865,
         "b_conv2": 0.1516392, "beta1_power": 0.3874204, "Variable": 8.0}


class LegacyTest(helpers.TestCase):
    def test_the_network_and_main_learn_as_in_tensorflow_1(self):
        """The network by itself; and the loop, the batches and the optimizer of `main`, from its weights."""
        found = legacy.train()
        np.testing.assert_allclose(found["losses"], LOSSES, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["after"][:7], AFTER, rtol=0, atol=1e-4)
        for name, mean in MEANS.items():
            np.testing.assert_allclose(found["variables"][name][1], mean, rtol=1e-3, err_msg=name)
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
            output = self.assert_stated(helpers.train(f"--max_iterations={legacy.STEPS}"), "^4 of the 300 ", 0)
        self.assertIn("Model Restored!", output)
        reader = tf.train.load_checkpoint("logs/model.ckpt-7")
        variables = legacy.means({name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()})
        self.assertEqual({name: shape for name, (shape, _) in found["variables"].items()},
                         {name: shape for name, (shape, _) in variables.items()})
        for name, (_, mean) in variables.items():
            np.testing.assert_allclose(mean, found["variables"][name][1], rtol=1e-3, err_msg=name)

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
