# make demo: from nothing to a trained agent, a report, plots and a video.   make test: all tests.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DEMO_ENV := CartPole3D-v0
DEMO_STEPS := 60000

.PHONY: demo test lint results reference story campaign bench faults clean

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
	$(BIN)/cartbot eval latest --episodes 50
	$(BIN)/cartbot plot latest
	$(BIN)/cartbot record latest --episodes 3

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# The first tables of the README, anew: a quarter of an hour or so on two cores.
results: $(VENV)/.run
	$(BIN)/cartbot train dqn --env CartPole3D-v0 --steps 100000 --seeds 4 --run runs/results-cartpole3d
	$(BIN)/cartbot eval runs/results-cartpole3d --episodes 1000
	$(BIN)/cartbot train dqn --env CartPole-v1 --steps 50000 --seeds 4 --run runs/results-cartpole
	$(BIN)/cartbot eval runs/results-cartpole --episodes 100

# The reference tables of the README: our agents on eight fresh seeds with the settings of --help, Stable-Baselines3's
# on four, all judged in Bullet on 1,000 episodes a seed. Hours on two cores.
CONTINUOUS := CartPole3DContinuous-v0
BATCHED := --env-args world=batched --seed 1
reference: $(VENV)/.run
	$(BIN)/cartbot train dqn --env CartPole3D-v0 $(BATCHED) --steps 400000 --seeds 8 --run runs/reference-dqn
	$(BIN)/cartbot train ddpg --env $(CONTINUOUS) $(BATCHED) --steps 300000 --seeds 8 --run runs/reference-ddpg
	$(BIN)/cartbot train naf --env $(CONTINUOUS) $(BATCHED) --steps 500000 --seeds 8 --run runs/reference-naf
	$(BIN)/cartbot train sb3-dqn --env CartPole3D-v0 $(BATCHED) --steps 400000 --run runs/reference-sb3-dqn
	$(BIN)/cartbot train sb3-ddpg --env $(CONTINUOUS) $(BATCHED) --steps 300000 --run runs/reference-sb3-ddpg
	for run in dqn ddpg naf sb3-dqn sb3-ddpg; do $(BIN)/cartbot eval runs/reference-$$run --episodes 1000 || exit 1; done
	$(BIN)/cartbot compare runs/reference-dqn runs/reference-sb3-dqn --out runs/reference-discrete.png
	$(BIN)/cartbot compare runs/reference-ddpg runs/reference-naf runs/reference-sb3-ddpg --out runs/reference-continuous.png
	for agent in naf ddpg; do \
		$(BIN)/cartbot train $$agent --env Pendulum-v1 --steps 20000 --seeds 8 --seed 1 --run runs/reference-pendulum-$$agent; \
		$(BIN)/cartbot eval runs/reference-pendulum-$$agent --episodes 100 || exit 1; done

# The drive-bot's story: a rule, a table, a naive network, the same with an exploration ramp, and DQN as it should be.
NAIVE := --memory-size 0 --n-step 1 --target-interval 0 --no-double --exploration rho
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
