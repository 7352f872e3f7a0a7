"""Tell the emotion of faces on photographs with the network that EmotionDetector.py trained.

    python EmotionDetectorTest.py face.jpg [more images ...]

The book has a script of this name and does not print it. This one restores the saved
graph, rebuilds no network and reads no data set; all of it is ours.
"""
# Not in the book: the whole of this file.
import EmotionDetectorUtils

if __name__ == "__main__":
    EmotionDetectorUtils.before_tensorflow()

import tensorflow.compat.v1 as tf
from absl import app

import EmotionDetector

FLAGS = tf.flags.FLAGS
tf.flags.declare_key_flag("logs_dir")
tf.flags.DEFINE_list("box", None, "LEFT,TOP,WIDTH,HEIGHT of the face in each image, in pixels; "
                     "otherwise the largest square in the middle")
tf.flags.DEFINE_string("figure", None, "File to draw images and answers into")
tf.flags.DEFINE_bool("show", False, "Show that drawing in a window")
tf.flags.DEFINE_string("csv", None, "File to write the answers into, a row for each image")

# In a graph of the book's program dropout is always on: what its constants have to be fed
# for it to be off. They are the keep probability; since TensorFlow 1.13 the rate; in
# today's tf.compat.v1 the threshold and the scale of what is kept.
DROPOUT_OFF = {"fc_1/dropout/keep_prob:0": 1.0, "fc_1/dropout/rate:0": 0.0,
               "fc_1/dropout/GreaterEqual/y:0": 0.0, "fc_1/dropout/Const:0": 1.0}


@EmotionDetector.new_graph()
def classify(images):
    """Run images through the newest checkpoint of --logs_dir.

    Args:
        images: float32 [n, 48, 48, 1] in 0..1, as `read_image` returns them.

    Returns:
        The probabilities float32 [n, 7] in the order of `EMOTIONS`.

    Raises:
        UserError: there is no checkpoint, or it is damaged.
    """
    ckpt = EmotionDetector.newest_checkpoint(FLAGS.logs_dir)
    if not ckpt:
        raise EmotionDetectorUtils.UserError(EmotionDetector.NO_MODEL % FLAGS.logs_dir)
    saver, training_data = EmotionDetector.import_graph(ckpt)
    if training_data == EmotionDetectorUtils.PRACTICE_FACES:
        EmotionDetectorUtils.notice(f"{ckpt} was trained on drawn practice faces and has never "
                                    "seen a photograph: do not believe its answers on one.")
    names = {operation.name for operation in tf.get_default_graph().get_operations()}
    dropout_off = {name: value for name, value in DROPOUT_OFF.items() if name[:-2] in names}
    with tf.Session(config=EmotionDetector.SESSION_CONFIG) as sess:
        EmotionDetector.restore(sess, saver, ckpt)
        return EmotionDetector.predict(sess, "output:0", {"input:0": images}, dropout_off)


def read_images(paths):
    """Read what can be read of the files, and say on standard error what cannot.

    Returns:
        The paths that could be read, and their images float32 [48, 48, 1].
    """
    read, images = [], []
    for path in paths:
        try:
            images.append(EmotionDetectorUtils.read_image(path, FLAGS.box))
            read.append(path)
        except EmotionDetectorUtils.UserError as error:
            EmotionDetectorUtils.notice(f"Error: {error}")
    return read, images


def main(argv):
    """Classify the images named on the command line.

    Returns:
        The exit status: 1 if an image could not be read.
    """
    if not argv[1:]:
        raise app.UsageError("Name the images to classify: face.jpg ...", exitcode=2)
    if FLAGS.figure:
        EmotionDetectorUtils.check_output(FLAGS.figure, EmotionDetectorUtils.FIGURES)
    if FLAGS.csv:
        EmotionDetectorUtils.check_output(FLAGS.csv, (".csv",))

    paths, images = read_images(argv[1:])
    if not images:
        return 1
    probabilities = classify(images)
    emotions = [EmotionDetectorUtils.EMOTIONS[row.argmax()] for row in probabilities]
    for path, emotion, row in zip(paths, emotions, probabilities):
        print(f"{path}: {emotion}")
        for name, probability in zip(EmotionDetectorUtils.EMOTIONS, row):
            print(f"{name} = {probability:.2%}")

    if FLAGS.csv:
        EmotionDetectorUtils.write_answers(
            FLAGS.csv, {"path": paths, "emotion": emotions}, probabilities)
    if FLAGS.figure or FLAGS.show:
        answers = [(path, FLAGS.box, image, row)
                   for path, image, row in zip(paths, images, probabilities)]
        EmotionDetectorUtils.present(
            lambda figure: EmotionDetectorUtils.draw_answers(figure, answers),
            FLAGS.figure, FLAGS.show)
    return 0 if len(images) == len(argv[1:]) else 1


if __name__ == "__main__":
    EmotionDetectorUtils.run(main, takes_files=True)
