"""The bodies of CartPole3D as numbers, for the worlds that compute them themselves."""

from __future__ import annotations

import math

HALF_CART, HALF_POLE = (0.1, 0.1, 0.025), (0.01, 0.01, 0.25)
"""Halves of the boxes' edges, m."""
CART_MASS, POLE_MASS = 1.0, 5.0
"""Masses, kg."""
CART_INERTIA, POLE_INERTIA = (0.010625, 0.010625, 0.02), (0.313, 0.313, 0.001)
"""Moments of inertia, kg m2: three times a solid box's, as in `envs.bullet`."""
CART_HEIGHT, POLE_HEIGHT = 0.08, 0.35
"""Start heights of the centres, m."""
FLOOR = 0.05
"""Height of the ground's upper face, m."""
FLOOR_FRICTION, CART_FRICTION = 0.5, 1.0
"""Coefficients of friction of cart and pole on the ground, and of the pole on the cart."""
CART_REACH, POLE_REACH = 0.02 * math.sqrt(0.020625), 0.02 * math.sqrt(0.0627)
"""How far contacts of the cart, and of the pole with the ground, may part or slide before they are forgotten, m: Bullet
takes a fiftieth of the smaller body's radius."""
GRAVITY = -9.81
"""m/s2."""
DAMPING = 0.04
"""Velocities lose this share of themselves, and as much again for every m/s or rad/s, each second: Bullet's default."""
SETTLE_STEPS = 100
"""Physics steps from the start poses to the state that every episode begins with."""
