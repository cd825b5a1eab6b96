"""Fusion of infrared and visible pictures: a small toolbox in the form of OpenMMLab's."""
