"""Tell the emotion of faces on photographs with the network that EmotionDetector.py trained.

    python EmotionDetectorTest.py face.jpg [more images, folders, patterns ...]

The chapter promises this test and does not print it (the book's repository calls its
own `test_your_image.py`). This one restores the saved graph, and reads no data set.
"""
# Not in the book: the whole of this file.
if __name__ == "__main__":
    import EmotionDetectorUtils
    EmotionDetectorUtils.prepare_script()

import functools
import os

import tensorflow.compat.v1 as tf
from absl import flags

import EmotionDetector
import EmotionDetectorUtils
from EmotionDetectorUtils import EMOTIONS, UserError, first_cause, warn

FLAGS = flags.FLAGS
flags.declare_key_flag("logs_dir")
flags.DEFINE_list("box", None, "LEFT,TOP,WIDTH,HEIGHT of the face in each image, in pixels; "
                  "otherwise the largest square in the middle")
flags.DEFINE_string("figure", None, "File to draw images and answers into")
flags.DEFINE_bool("show", False, "Show that drawing in a window, where a box can be dragged over a face")
flags.DEFINE_string("csv", None, "File to write the answers into, a row for each image")
MAX_DRAWN = 100  # images in one drawing


@EmotionDetector.checkpoint_errors()
def restore_model(sess):
    """Restore the newest checkpoint of --logs_dir, with its graph or, if that is lost, `emotion_cnn`'s.

    Raises a UserError where there is no checkpoint, or it is damaged.
    """
    ckpt = tf.train.get_checkpoint_state(FLAGS.logs_dir)
    path = EmotionDetector.find_checkpoint(ckpt, needed=True).model_checkpoint_path
    if os.path.exists(path + ".meta"):
        saver = tf.train.import_meta_graph(path + ".meta", clear_devices=True)
    else:
        input_dataset = tf.placeholder(tf.float32, [None, 48, 48, 1], name="input")
        tf.nn.softmax(EmotionDetector.emotion_cnn(input_dataset, 1.0), name="output")
        saver = tf.train.Saver()
    saver.restore(sess, path)
    if EmotionDetector.read_fingerprint(path) == EmotionDetectorUtils.PRACTICE_FACES:
        warn(f"{os.path.abspath(path)} was trained on drawn practice faces and has never seen a "
             "photograph: do not believe its answers on one.")


@EmotionDetector.checkpoint_errors()
def classify(sess, images):
    """Return the restored model's probabilities, float32 [n, 7], of images [n, 48, 48, 1] in 0..1.

    Raises a UserError where its graph is of another network.
    """
    # In the book's graph dropout is a constant: the value before it is fed behind it
    h_fc1 = EmotionDetector.run_in_batches(sess, "fc_1/Relu:0", {"input:0": images})
    h_fc1_dropout = sess.graph.get_operation_by_name("fc_2/MatMul").inputs[0]
    return EmotionDetector.run_in_batches(sess, "output:0", {h_fc1_dropout: h_fc1})


def attempt(function, values):
    """Return (value, function(value)) for each value but those where it fails, which is told."""
    results = []
    for value in values:
        try:
            results.append((value, function(value)))
        except (UserError, OSError) as error:
            warn(f"Error: {first_cause(error)}")
    return results


@EmotionDetectorUtils.new_graph()
def main(argv):
    """Classify the images on the command line; the exit status is 1 if one could not be read."""
    words = argv[1:]
    if not words:
        raise flags.Error("Name the images to classify: face.jpg ...")
    found = attempt(EmotionDetectorUtils.expand_paths, words)
    names = [name for _, paths in found for name in paths]
    check_usage(names)
    read = attempt(lambda name: EmotionDetectorUtils.read_image(name, FLAGS.box), names)
    if not read:
        return 1
    with tf.Session() as sess:
        restore_model(sess)
        probabilities = classify(sess, [image for _, image in read])
        emotions = [EMOTIONS[row.argmax()] for row in probabilities]
        for (name, _), emotion, row in zip(read, emotions, probabilities):
            print(f"{name}: {emotion}")
            for one, probability in zip(EMOTIONS, row):
                print(f"{one} = {probability:.2%}")

        if FLAGS.csv:
            columns = {"path": [name for name, _ in read], "emotion": emotions}
            EmotionDetectorUtils.write_answers(FLAGS.csv, columns, probabilities)
        if FLAGS.figure or FLAGS.show:
            draw_answers(sess, [(*one, row) for one, row in zip(read, probabilities)])
    return 0 if (len(found), len(read)) == (len(words), len(names)) else 1


def check_usage(names):
    """Raise flags.Error for a drawing of too many images, or one that would overwrite an image."""
    if (FLAGS.figure or FLAGS.show) and len(names) > MAX_DRAWN:
        raise flags.Error(f"{len(names)} images are too many for a drawing, expected at most "
                          f"{MAX_DRAWN}: leave out --figure and --show, or name fewer")
    for path in filter(os.path.exists, (FLAGS.figure or "", FLAGS.csv or "")):
        if any(os.path.exists(name) and os.path.samefile(name, path) for name in names):
            raise flags.Error(f"{os.path.abspath(path)} is one of the images, and would be overwritten: "
                              "name another file")


def draw_answers(sess, answers):
    """Draw answers, each a name, an image [48, 48, 1], probabilities [7], into --figure and a window."""
    plt = EmotionDetectorUtils.load_pyplot(FLAGS.show)
    columns = 1 if len(answers) <= 4 else 2
    rows = -(-len(answers) // columns)
    figure = (plt.figure if FLAGS.show else plt.Figure)(figsize=(9 * columns, 3 * rows), layout="none")
    figure.subplots_adjust(left=0.02 / columns, right=1 - 0.05 / columns, bottom=0.16 / rows,
                           top=1 - 0.12 / rows, wspace=0.35, hspace=0.39)
    panels = figure.subplots(rows, 3 * columns, width_ratios=(1, 1, 1.2) * columns).reshape(-1, 3)
    for panel, answer in zip(panels, answers):
        draw_answer(*panel, *answer)
    for axes in panels[len(answers):].flat:
        axes.remove()
    if FLAGS.figure:
        EmotionDetectorUtils.save_figure(figure, FLAGS.figure)
    if FLAGS.show:
        # No window waits in a notebook; elsewhere the list keeps the selectors alive
        selectors = [] if EmotionDetectorUtils.INTERACTIVE else [
            select_box(sess, *panel, name) for panel, (name, _, _) in zip(panels, answers)]
        plt.show()
        del selectors


def draw_answer(photograph, seen, bars, name, image, probabilities):
    """Draw one answer on three axes: the photograph with its box, what the network saw, the seven bars."""
    from matplotlib.patches import Rectangle

    picture, size = EmotionDetectorUtils.open_picture(name, "RGB", (400, 400))
    picture.thumbnail((400, 400))
    photograph.imshow(picture.convert("L" if picture.mode == "F" else "RGBA"), cmap="Greys_r",
                      extent=(0, size[0], size[1], 0))
    *corner, width, height = EmotionDetectorUtils.crop_box(name, size, FLAGS.box)
    photograph.add_patch(Rectangle(corner, width, height, fill=False, color="r"))
    photograph.set_title(os.path.basename(name)[-24:].encode(errors="replace").decode(), parse_math=False)
    seen.imshow(image[:, :, 0], cmap="Greys_r", vmin=0, vmax=1)
    seen.set_title("what the network saw")
    bars.barh(EMOTIONS, 100 * probabilities)
    bars.set(xlim=(0, 100), xlabel="%", title=EMOTIONS[probabilities.argmax()])
    bars.invert_yaxis()
    photograph.axis("off")
    seen.axis("off")


def select_box(sess, photograph, seen, bars, name):
    """Let a box be dragged on a drawn photograph, and answer for each; returns the selector, to be kept."""
    from matplotlib.widgets import RectangleSelector

    def ask(*_events):
        nonlocal answered
        photograph.figure.canvas.draw_idle()
        left, right, top, bottom = map(round, selector.extents)
        box = left, top, right - left, bottom - top
        try:
            picture, size = open_once(name)
            image = EmotionDetectorUtils.shrink(picture, EmotionDetectorUtils.crop_box(name, size, box))
        except UserError as error:
            warn(f"Error: {error}")
            selector.extents = answered
            return
        answered = selector.extents
        probabilities, = classify(sess, [image])
        emotion = EMOTIONS[probabilities.argmax()]
        print(f"{name} --box={','.join(map(str, box))}: {emotion}")
        seen.images[0].set_data(image[:, :, 0])
        for bar, probability in zip(bars.patches, probabilities):
            bar.set_width(100 * probability)
        bars.set_title(emotion)

    first, = photograph.patches
    first.remove()
    open_once(name)
    photograph.set_title(f"{photograph.get_title()}\ndrag a box over the face", parse_math=False,
                         fontsize="small")
    selector = RectangleSelector(photograph, ask, button=1, interactive=True,
                                 props={"fill": False, "edgecolor": "r"})
    (left, top), (right, bottom) = first.get_bbox().get_points()
    selector.extents = answered = left, right, top, bottom
    return selector


@functools.lru_cache(maxsize=4)  # a photograph of 100 million pixels takes a second to read
def open_once(name):
    """Open a picture as `read_image` does, and keep it for the next box on it."""
    return EmotionDetectorUtils.open_picture(name, "L")


if __name__ == "__main__":
    EmotionDetectorUtils.run_script(main, tf.errors.OpError, takes_files=True)
