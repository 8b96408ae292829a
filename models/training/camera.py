"""A pinhole camera beside a road.

World coordinates are metres: x across the road to the right, y along the road
away from the camera, z up; the camera stands above the origin.  It has no lens
distortion: ANPR lenses are long, and the daemon's calibration assumes none.
"""

import math

import numpy as np


class Camera:
    """Position and aim of the camera, and the projection that follows.

    `height_m` above the road; `focal_px` the focal length in pixels; `pan_deg`
    to the right of the road's direction; `tilt_deg` below the horizon.
    """

    def __init__(self, width_px, height_px, height_m, focal_px, pan_deg, tilt_deg):
        self.width_px = width_px
        self.height_px = height_px
        self.focal_px = focal_px
        self.position = np.array([0.0, 0.0, height_m])
        pan, tilt = math.radians(pan_deg), math.radians(tilt_deg)
        forward = np.array([math.sin(pan) * math.cos(tilt), math.cos(pan) * math.cos(tilt), -math.sin(tilt)])
        right = np.array([math.cos(pan), -math.sin(pan), 0.0])
        # Rows: the picture's x axis, its y axis (downwards) and the optical axis.
        self.axes = np.stack([right, np.cross(forward, right), forward])

    def project(self, points):
        """World points (..., 3) to pixels (..., 2) and depth in metres (...)."""
        local = (np.asarray(points, float) - self.position) @ self.axes.T
        depth = local[..., 2]
        scale = self.focal_px / np.maximum(depth, 0.05)
        pixels = local[..., :2] * scale[..., None] + [self.width_px / 2, self.height_px / 2]
        return pixels, depth

    def rays(self):
        """World directions of all pixels, (height, width, 3), with unit depth."""
        x = (np.arange(self.width_px) + 0.5 - self.width_px / 2) / self.focal_px
        y = (np.arange(self.height_px) + 0.5 - self.height_px / 2) / self.focal_px
        grid = np.stack([*np.meshgrid(x, y), np.ones((self.height_px, self.width_px))], axis=-1)
        return grid @ self.axes
