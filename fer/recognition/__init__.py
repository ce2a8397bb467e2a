"""Use a trained network: find the faces in photographs and videos, and recognise their expressions.

    import fer

    recognizer = fer.load("fer2013-fer_baseline")
    for face in recognizer("party.jpg"):
        print(face.label, face.probabilities)

`load` takes a released name, or the folder of a run. The command line does the same: `fer predict party.jpg`.
"""

from fer.recognition.recognizer import Face, Recognizer, load

__all__ = ["Face", "Recognizer", "load"]
