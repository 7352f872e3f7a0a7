"""Emotion recognition with CNNs: the chapter's program.

Trains a network of two convolutional and two fully-connected layers to tell seven emotions from 48x48 grey faces:

    python EmotionDetector.py --mode=train

Without the book's data it practises on faces that it draws, and recognizes 98.8 % of the validation faces after
1,001 iterations. Additions are marked "Not in the book".
"""
import EmotionDetectorUtils  # Not in the book: this line and the next hide TensorFlow's start messages
if __name__ == "__main__": EmotionDetectorUtils.prepare_script()

import tensorflow.compat.v1 as tf  # Book: import tensorflow as tf
import numpy as np
import os, sys, inspect
from datetime import datetime
import EmotionDetectorUtils

FLAGS = tf.flags.FLAGS
tf.flags.DEFINE_string("data_dir", "EmotionDetector/", "Path to data files")
tf.flags.DEFINE_string("logs_dir", "logs/EmotionDetector_logs/",
                       "Path to where log files are to be saved")
tf.flags.DEFINE_string("mode", "train", "mode: train (Default)/ test")

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
MAX_ITERATIONS = 1001
REGULARIZATION = 1e-2
IMAGE_SIZE = 48
NUM_LABELS = 7
VALIDATION_PERCENT = 0.1


def weight_variable(shape, stddev=0.02, name=None):
    """Make a weight from a normal distribution truncated at 2 * stddev; the book's listing."""
    initial = tf.truncated_normal(shape, stddev=stddev)
    if name is None:
        return tf.Variable(initial)
    else:
        return tf.get_variable(name, initializer=initial)


def bias_variable(shape, name=None):
    """Make a bias of zeros, float32 of the given shape; the book's listing."""
    initial = tf.constant(0.0, shape=shape)
    if name is None:
        return tf.Variable(initial)
    else:
        return tf.get_variable(name, initializer=initial)


def loss(pred, label):
    """Return mean cross-entropy of logits and one-hot labels [n, 7], plus regularization; the book's listing."""
    # Book: cross_entropy_loss = tf.nn.softmax_cross_entropy_with_logits(pred, label)
    cross_entropy_loss = tf.nn.softmax_cross_entropy_with_logits(logits=pred, labels=label)
    cross_entropy_loss = tf.reduce_mean(cross_entropy_loss)
    reg_losses = tf.add_n(tf.get_collection("losses"))
    # Not in the book: two curves for TensorBoard, as in the book's repository
    tf.summary.scalar("Entropy", cross_entropy_loss)
    tf.summary.scalar("Reg_loss", reg_losses)
    return cross_entropy_loss + REGULARIZATION * reg_losses


def add_to_regularization_loss(W, b):
    """Add the L2 terms of a layer to the collection `losses`; the book's listing."""
    tf.add_to_collection("losses", tf.nn.l2_loss(W))
    tf.add_to_collection("losses", tf.nn.l2_loss(b))


def emotion_cnn(dataset, dropout_prob):  # Book: def emotion_cnn(dataset):
    """Build the network; the book's listings of `weights`, `biases` and `emotion_cnn`.

    Takes images [n, 48, 48, 1] in 0..1, and the share of neurons that dropout keeps; returns logits [n, 7]. This
    differs from the book in two ways: (1) the dictionaries stand in here, so that an import builds no graph;
    (2) dropout is an argument, so that it is off where the network answers.
    """
    weights = {
        'wc1': weight_variable([5, 5, 1, 32], name="W_conv1"),
        'wc2': weight_variable([3, 3, 32, 64], name="W_conv2"),
        # Book: 'wf1': weight_variable([(IMAGE_SIZE / 4) * (IMAGE_SIZE / 4) * 64, 256], name="W_fc1"),
        'wf1': weight_variable([(IMAGE_SIZE // 4) * (IMAGE_SIZE // 4) * 64, 256], name="W_fc1"),
        'wf2': weight_variable([256, NUM_LABELS], name="W_fc2")
    }

    biases = {
        'bc1': bias_variable([32], name="b_conv1"),
        'bc2': bias_variable([64], name="b_conv2"),
        'bf1': bias_variable([256], name="b_fc1"),
        'bf2': bias_variable([NUM_LABELS], name="b_fc2")
    }

    # 48x48x1 -> 48x48x32 by 5x5 kernels -> 24x24x32 by pooling
    with tf.name_scope("conv1") as scope:
        tf.summary.histogram("W_conv1", weights['wc1'])
        tf.summary.histogram("b_conv1", biases['bc1'])
        conv_1 = tf.nn.conv2d(dataset, weights['wc1'], strides=[1, 1, 1, 1], padding="SAME")
        h_conv1 = tf.nn.bias_add(conv_1, biases['bc1'])
        h_1 = tf.nn.relu(h_conv1)
        h_pool1 = max_pool_2x2(h_1)
        add_to_regularization_loss(weights['wc1'], biases['bc1'])

    # 24x24x32 -> 24x24x64 by 3x3 kernels -> 12x12x64 by pooling
    with tf.name_scope("conv2") as scope:
        tf.summary.histogram("W_conv2", weights['wc2'])
        tf.summary.histogram("b_conv2", biases['bc2'])
        conv_2 = tf.nn.conv2d(h_pool1, weights['wc2'], strides=[1, 1, 1, 1], padding="SAME")
        h_conv2 = tf.nn.bias_add(conv_2, biases['bc2'])
        h_2 = tf.nn.relu(h_conv2)
        h_pool2 = max_pool_2x2(h_2)
        add_to_regularization_loss(weights['wc2'], biases['bc2'])

    # 12*12*64 = 9216 values in one row -> 256 neurons
    with tf.name_scope("fc_1") as scope:
        # Book: prob=0.5
        image_size = IMAGE_SIZE // 4  # Book: image_size = IMAGE_SIZE / 4
        h_flat = tf.reshape(h_pool2, [-1, image_size * image_size * 64])
        tf.summary.histogram("W_fc1", weights['wf1'])
        tf.summary.histogram("b_fc1", biases['bf1'])
        h_fc1 = tf.nn.relu(tf.matmul(h_flat, weights['wf1']) + biases['bf1'])
        h_fc1_dropout = tf.nn.dropout(h_fc1, dropout_prob)  # Book: h_fc1_dropout = tf.nn.dropout(h_fc1, prob)

    # 256 -> one neuron for each of the 7 emotions
    with tf.name_scope("fc_2") as scope:
        tf.summary.histogram("W_fc2", weights['wf2'])
        tf.summary.histogram("b_fc2", biases['bf2'])
        pred = tf.matmul(h_fc1_dropout, weights['wf2']) + biases['bf2']
        return pred


@EmotionDetectorUtils.new_graph()  # Not in the book: a seeded graph for each call
def main(argv=None):
    """Train, or with --mode=test judge what was trained; the book's `main`."""
    train_images, train_labels, valid_images, valid_labels, test_images = \
        EmotionDetectorUtils.read_data(FLAGS.data_dir)
    print("Train size: %s" % train_images.shape[0])
    print('Validation size: %s' % valid_images.shape[0])
    print("Test size: %s" % test_images.shape[0])

    input_dataset = tf.placeholder(tf.float32, [None, IMAGE_SIZE, IMAGE_SIZE, 1], name="input")
    input_labels = tf.placeholder(tf.float32, [None, NUM_LABELS])
    global_step = tf.Variable(0, trainable=False)
    # Book: dropout_prob = tf.placeholder(tf.float32)
    dropout_prob = tf.placeholder_with_default(1.0, [], name="dropout_prob")
    # Not in the book: the graph names the data that the model is trained on
    training_data = data_fingerprint(FLAGS.data_dir, train_images, train_labels, valid_images, valid_labels)
    tf.constant(training_data, name="training_data")

    pred = emotion_cnn(input_dataset, dropout_prob)  # Book: pred = emotion_cnn(input_dataset)
    output_pred = tf.nn.softmax(pred, name="output")
    loss_val = loss(pred, input_labels)
    train_op = tf.train.AdamOptimizer(LEARNING_RATE).minimize(loss_val, global_step)
    summary_op = tf.summary.merge_all()  # Book: summary_op = tf.merge_all_summaries()

    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        with checkpoint_errors():  # Not in the book: a fault of the checkpoint becomes one sentence
            ckpt = tf.train.get_checkpoint_state(FLAGS.logs_dir)
            ckpt = find_checkpoint(ckpt, needed=FLAGS.mode == "test")  # Not in the book: its path on this machine
            check_training_data(ckpt, training_data)
            if ckpt and ckpt.model_checkpoint_path:
                saver.restore(sess, ckpt.model_checkpoint_path)
                print("Model Restored!")

        # Not in the book: --mode=test trains nothing, and a resumed run goes on from its step
        if FLAGS.mode == "test":
            return evaluate(sess, loss_val, input_labels, train_labels, valid_images, valid_labels, test_images)
        start = sess.run(global_step)
        if start >= FLAGS.max_iterations:
            print(f"The model is trained: {start} iterations are done. --max_iterations={start + 100} goes on.")
            return
        warn_of_unused(train_images.shape[0])

        # Book: summary_writer = tf.summary.FileWriter(FLAGS.logs_dir, sess.graph_def)
        summary_writer = tf.summary.FileWriter(FLAGS.logs_dir, sess.graph)
        with summary_writer:  # Not in the book: whatever ends the training, the curves are closed
            for step in range(start, FLAGS.max_iterations):  # Book: for step in xrange(MAX_ITERATIONS):
                batch_image, batch_label = get_next_batch(train_images, train_labels, step)
                feed_dict = {input_dataset: batch_image, input_labels: batch_label}
                feed_dict[dropout_prob] = 0.5  # Not in the book, where it is a constant
                sess.run(train_op, feed_dict=feed_dict)
                if step % 10 == 0:
                    train_loss, summary_str = sess.run([loss_val, summary_op], feed_dict=feed_dict)
                    summary_writer.add_summary(summary_str, global_step=step)
                    print("Training Loss: %f" % train_loss)

                if step % 100 == 0 or step == FLAGS.max_iterations - 1:  # Book: if step % 100 == 0:
                    # Book: valid_loss = sess.run(loss_val, feed_dict={input_dataset: valid_images,
                    # Book:                                            input_labels: valid_labels})
                    valid_loss = run_in_batches(sess, loss_val, feed_dict={input_dataset: valid_images,
                                                                           input_labels: valid_labels})
                    print("%s Validation Loss: %f" % (datetime.now(), valid_loss))
                    save_curve_and_graph(saver, summary_writer, valid_loss, step)  # Not in the book: a kill keeps both
                    # Book: saver.save(sess, FLAGS.logs_dir + 'model.ckpt', global_step=step)
                    saver.save(sess, os.path.join(FLAGS.logs_dir, 'model.ckpt'), global_step=step)

        answers = run_in_batches(sess, output_pred, {input_dataset: valid_images})  # Not in the book: accuracy
        print_accuracy(answers, valid_labels, train_labels)
        draw_losses()


# The chapter uses these two and does not print them.
def max_pool_2x2(x):
    """Halve height and width: [n, h, w, c] to [n, h/2, w/2, c]."""
    return tf.nn.max_pool(x, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")


def get_next_batch(images, labels, step):
    """Take the batch of a step, counted from 0: BATCH_SIZE rows, or all rows if there are fewer."""
    if images.shape[0] <= BATCH_SIZE:
        return images, labels
    offset = (step * BATCH_SIZE) % (images.shape[0] - BATCH_SIZE)
    return images[offset:offset + BATCH_SIZE], labels[offset:offset + BATCH_SIZE]


# Not in the book, from here on: what else `main` calls, in its order, with its imports and flags.
import contextlib, glob, math, ntpath, re
from EmotionDetectorUtils import (EMOTIONS, PRACTICE_FACES, UserError, data_fingerprint, first_cause, read_test_set,
                                  save_figure, warn)

tf.flags.register_validator("mode", lambda mode: mode in ("train", "test"), "must be train or test")
tf.flags.DEFINE_integer("max_iterations", MAX_ITERATIONS, "Training ends after this many iterations", lower_bound=1)


@contextlib.contextmanager
def checkpoint_errors():
    """Turn what TensorFlow raises for a bad checkpoint into a UserError; OSErrors and lack of memory pass."""
    try:
        yield
    except (UserError, OSError, MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # TensorFlow raises eight types
        raise UserError(f"The model in {os.path.abspath(FLAGS.logs_dir)} cannot be restored ({first_cause(error)}): "
                        "name another folder with --logs_dir, or bring it back from a copy.") from error


def find_checkpoint(ckpt, needed=False):
    """Return the `CheckpointState` of the model in --logs_dir, with its path on this machine, or None.

    The model is what `checkpoint` names, in this folder; without that file the last one. Raises a UserError where its
    index is missing, or a model is needed and none is there.
    """
    folder = os.path.abspath(FLAGS.logs_dir)
    if set(FLAGS.logs_dir) & set("*?[\\") - {os.sep}:
        raise UserError(f"--logs_dir={FLAGS.logs_dir}: for TensorFlow *, ?, [ and \\ are a pattern: rename the folder.")
    names_a_model = re.fullmatch(r"checkpoint|model\.ckpt(-\d+)?(\..+)?", os.path.basename(folder))
    if os.path.isfile(folder) or (names_a_model and not os.path.isdir(folder)):
        raise UserError(f"{folder} is not a folder: with --logs_dir, name the one that holds the model.")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    if "checkpoint" in names and not ckpt:
        raise UserError(f"{os.path.join(folder, 'checkpoint')} cannot be read: expected the line "
                        'model_checkpoint_path: "NAME", of the model that is meant.')
    model = ntpath.basename(ckpt.model_checkpoint_path) if ckpt else last_model(names)
    if not model and not needed:
        return None
    if not model:
        raise UserError(f"{folder} holds no model: train one first, with python EmotionDetector.py --mode=train, "
                        "download one into it, or name another folder with --logs_dir.")
    path = os.path.join(folder, model)
    if not tf.train.checkpoint_exists(path):
        raise UserError(f"{path}.index is missing: bring it back, or name another --logs_dir.")
    return tf.train.generate_checkpoint_state_proto(folder, path)


def last_model(names):
    """Return the model with the highest number among a folder's files, a whole one if there is one; or None."""
    old = {name for name in names if re.fullmatch(r".+\.ckpt(-\d+)?", name)}  # in the old format one file
    index = {name[:-len(".index")] for name in names if name.endswith(".index")}
    data = {re.sub(r"\.data-\d+-of-\d+$", "", name) for name in names} - set(names)
    models = (index & data | old) or (index | data)
    return max(models, key=lambda model: (int(re.search(r"\d*$", model)[0] or -1), model), default=None)


def check_training_data(ckpt, training_data):
    """Refuse to continue training on other data than a model's own; where it is only tested on other data, warn.

    A model that does not say what it was trained on, as the book's own, needs data that is named.
    """
    path = ckpt and ckpt.model_checkpoint_path
    trained_on = read_fingerprint(path) if ckpt else training_data
    if trained_on is None and training_data.startswith(PRACTICE_FACES):
        raise UserError(f"{path} does not say what it was trained on: name its data with --data_dir.")
    if trained_on in (None, training_data):
        return
    if FLAGS.mode == "train":
        raise UserError(f"{path} was trained on other data: name another --logs_dir, or that data with --data_dir.")
    warn(f"{path} was trained on other data than it is tested on.")


def read_fingerprint(path):
    """Return the `training_data` in a checkpoint's graph; None in the book's own, and without a .meta."""
    if not os.path.exists(path + ".meta"):
        return None
    with open(path + ".meta", "rb") as file:
        nodes = tf.MetaGraphDef.FromString(file.read()).graph_def.node
    if not nodes:
        raise ValueError(f"{path}.meta is empty")
    return next((node.attr["value"].tensor.string_val[0].decode() for node in nodes
                 if node.name == "training_data"), None)


def evaluate(sess, loss_val, input_labels, train_labels, valid_images, valid_labels, test_images):
    """Judge a restored model for --mode=test: print loss, accuracies, tables; write predictions.csv."""
    import pandas as pd

    valid_loss = run_in_batches(sess, loss_val, {"input:0": valid_images, input_labels: valid_labels})
    print(f"Validation Loss: {valid_loss:f}")
    valid_answers = run_in_batches(sess, "output:0", {"input:0": valid_images})
    print_accuracy(valid_answers, valid_labels, train_labels)
    picture = os.path.join(FLAGS.logs_dir, "confusion_matrix")
    report_confusion(valid_answers, valid_labels.argmax(axis=1), "validation faces", picture + ".png")
    if not len(test_images):
        warn("No test set: predictions.csv is not written.")
        return
    answers = run_in_batches(sess, "output:0", {"input:0": test_images})
    test_labels, _, ids = read_test_set(FLAGS.data_dir)
    table = pd.DataFrame({"Id": ids, "Emotion": answers.argmax(axis=1), **dict(zip(EMOTIONS, answers.T))})
    table.to_csv(os.path.join(FLAGS.logs_dir, "predictions.csv"), index=False)
    if test_labels is not None:
        print(f"Test Accuracy: {np.mean(answers.argmax(axis=1) == test_labels):f}")
        report_confusion(answers, test_labels, "test faces", picture + "_test.png")


def run_in_batches(sess, fetch, feed_dict):
    """Run a tensor on n rows, BATCH_SIZE at a time; return its n rows, or the mean of a scalar."""
    rows = len(next(iter(feed_dict.values())))
    starts = range(0, rows, BATCH_SIZE)
    results = [sess.run(fetch, feed_dict={key: array[start:start + BATCH_SIZE]
                                          for key, array in feed_dict.items()}) for start in starts]
    if np.ndim(results[0]):
        return np.concatenate(results)
    return np.average(results, weights=[min(BATCH_SIZE, rows - start) for start in starts])


def print_accuracy(answers, labels, train_labels):
    """Print the accuracy of answers to labels, both [n, 7], and that of always answering the same."""
    truth, usual = labels.argmax(axis=1), train_labels.sum(axis=0).argmax()
    print(f"Validation Accuracy: {np.mean(answers.argmax(axis=1) == truth):f}")
    print(f"Always answering {EMOTIONS[usual]}: {np.mean(truth == usual):f}")


def report_confusion(probabilities, labels, faces, path):
    """Print and draw the confusion matrix of probabilities [n, 7] and labels [n] in 0..6 of some faces."""
    import pandas as pd
    from matplotlib.figure import Figure

    counts, *_ = np.histogram2d(labels, probabilities.argmax(axis=1), range(NUM_LABELS + 1))
    counts = counts.astype(int)  # a row for the truth, a column for the answer
    table = {"faces": counts.sum(axis=1), "correct": counts.diagonal(), **dict(zip(EMOTIONS, counts.T))}
    print(f"The {faces} of each emotion, how many were recognized, and what they were predicted as:")
    print(pd.DataFrame(table, EMOTIONS).to_string())

    figure = Figure(figsize=(7, 6), layout="tight")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))  # of each emotion's faces
    colours = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, origin="upper")
    figure.colorbar(colours, label="share of the emotion's faces")
    for row, column in np.argwhere(counts):
        axes.text(column, row, counts[row, column], ha="center", va="center",
                  color="white" if shares[row, column] > 0.5 else "black")
    axes.set(xticks=range(NUM_LABELS), xticklabels=EMOTIONS, xlabel="predicted",
             yticks=range(NUM_LABELS), yticklabels=EMOTIONS, ylabel="emotion of the face",
             title=f"{counts.trace()} of {counts.sum()} {faces} are recognized")
    save_figure(figure, path)


def warn_of_unused(rows):
    """Say how many faces to train on no batch of the book's holds, if it is more than one in a hundred."""
    unused = math.gcd(BATCH_SIZE, rows - BATCH_SIZE) if rows > BATCH_SIZE else 0  # all offsets are its multiples
    if unused > rows / 100:
        warn(f"{unused} of the {rows} training faces are never trained on: the book's batches end before them.")


def save_curve_and_graph(saver, summary_writer, valid_loss, step):
    """Add the validation loss to the curves, and export the graph; raise a UserError if the loss is not finite.

    The graph goes first, since a kill could otherwise leave weights without it.
    """
    if not np.isfinite(valid_loss):
        raise UserError(f"The loss is NaN or infinite after step {step}: make LEARNING_RATE smaller.")
    summary_writer.add_summary(tf.Summary(value=[tf.Summary.Value(
        tag="Validation_loss", simple_value=valid_loss)]), global_step=step)
    summary_writer.flush()
    saver.export_meta_graph(os.path.join(FLAGS.logs_dir, f"model.ckpt-{step}.meta"))


def draw_losses():
    """Draw the two losses of the model in --logs_dir, of all its runs, into loss.png there."""
    from matplotlib.figure import Figure

    figure = Figure(layout="tight")
    axes = figure.subplots()
    training, validation = recorded_losses()
    axes.plot(*zip(*sorted(training.items())), label="training, dropout on")
    axes.plot(*zip(*sorted(validation.items())), "o-", label="validation, dropout off")
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None), title=os.path.basename(os.path.abspath(FLAGS.logs_dir)))
    axes.legend()
    save_figure(figure, os.path.join(FLAGS.logs_dir, "loss.png"))


def recorded_losses():
    """Read training and validation losses, {step: loss}, of all runs in --logs_dir, up to this run's last step."""
    losses = {"Entropy": {}, "Reg_loss": {}, "Validation_loss": {}}
    for path in sorted(glob.glob(os.path.join(FLAGS.logs_dir, "events.out.tfevents.*"))):
        with contextlib.suppress(tf.errors.DataLossError):  # a kill breaks a file off; it is read to there
            for event in tf.train.summary_iterator(path):
                for value in event.summary.value:
                    if value.tag in losses and event.step < FLAGS.max_iterations:  # beyond is another model's
                        losses[value.tag][event.step] = value.simple_value
    entropy, reg_loss, validation = losses.values()
    return {step: entropy[step] + REGULARIZATION * reg_loss[step] for step in entropy.keys() & reg_loss}, validation


if __name__ == "__main__":
    EmotionDetectorUtils.run_script(main, tf.errors.OpError)
