"""Saliency: which pixels a trained network's answer rests on, by methods that probe it in different ways.

Every function takes a network in evaluation mode and float images as it sees them. The saliency of a sample is a map
for each of its planes, float32 (planes, side, side), in the image's own frame and the larger the more salient.
"""
