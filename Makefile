# make demo: from nothing to a trained agent, a video, plots and a report with the video in it.   make test: all tests.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DEMO_ENV := CartPole3D-v0
DEMO_STEPS := 60000

.PHONY: demo test lint reference story campaign bench faults clean

# A stamp per set of dependencies: they are installed again only when what they are made from has changed.
$(VENV)/.run: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/.bench: $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	touch $@

demo: $(VENV)/.run
	$(BIN)/cartbot train dqn --env $(DEMO_ENV) --steps $(DEMO_STEPS) --seeds 4
	$(BIN)/cartbot record latest --episodes 3
	$(BIN)/cartbot plot latest
	$(BIN)/cartbot eval latest --episodes 50

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The reference tables of the README: our agents on eight fresh seeds, and on four beside Stable-Baselines3's. Hours on
# two cores; what was cut off goes on where it was.
reference: $(VENV)/.run
	$(BIN)/python -m tests.campaigns.reference_campaign --out runs/reference

# The drive-bot's story: a rule, a table, a naive network, the same with an exploration ramp, and DQN as it should be.
NAIVE := --memory-size 0 --n-step 1 --target-interval 0 --no-double --no-value-unit --exploration rho
STORY := runs/story-rule runs/story-table runs/story-naive runs/story-ramp runs/story-dqn
story: $(VENV)/.run
	$(BIN)/cartbot train furthest-sonar --env DriveBot-v0 --steps 100000 --run runs/story-rule
	$(BIN)/cartbot train qtable --env DriveBot-v0 --env-args observation=furthest --gamma 0.9 --steps 100000 \
		--run runs/story-table
	$(BIN)/cartbot train dqn --env DriveBot-v0 $(NAIVE) --rho-start 50 --steps 100000 --run runs/story-naive
	$(BIN)/cartbot train dqn --env DriveBot-v0 $(NAIVE) --rho-start 0.5 --burn-in 10000 --ramp-steps 40000 \
		--steps 100000 --run runs/story-ramp
	$(BIN)/cartbot train dqn --env DriveBot-v0 --steps 100000 --run runs/story-dqn
	for run in $(STORY); do $(BIN)/cartbot eval $$run --episodes 200 > $$run/eval.txt && $(BIN)/cartbot plot $$run || exit 1; done
	$(BIN)/cartbot compare $(STORY) --out runs/story.png

# What a step of CartPole3D costs, how alike its two worlds are, and the two renderers' pictures; sonars against rays at
# 10,000 poses; 10 million random steps that must meet no wall.
campaign: $(VENV)/.test
	$(BIN)/python -m tests.campaigns.bullet_cost
	$(BIN)/python -m tests.campaigns.worlds_campaign
	$(BIN)/python -m tests.campaigns.renderer_campaign
	$(BIN)/python -m tests.campaigns.drivebot_campaign

# Every figure of speed, against its peer in the same run: ten minutes or so on two quiet cores.
bench: $(VENV)/.bench
	$(BIN)/cartbot bench --out runs/bench.json

# What is done to runs that must not harm them: broken environments, damaged files, lost processes, numbers that are none.
faults: $(VENV)/.test
	$(BIN)/python -m tests.campaigns.faults

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
