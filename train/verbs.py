"""What `cartbot` can be told to do, by name: functions of the words that follow, and of the console."""

from __future__ import annotations

from train.bench import bench
from train.doctor import check, doctor
from train.experiments import plan, testbed
from train.listing import show_list
from train.looking import compare, plot, record
from train.making import resume, train
from train.reporting import evaluate, play

VERBS = {
    "train": train,
    "resume": resume,
    "eval": evaluate,
    "plot": plot,
    "record": record,
    "play": play,
    "compare": compare,
    "plan": plan,
    "testbed": testbed,
    "bench": bench,
    "check": check,
    "doctor": doctor,
    "list": show_list,
}
