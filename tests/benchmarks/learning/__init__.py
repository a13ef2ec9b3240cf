"""How many paid calls a learner needs: five environments, our solvers and the field's.

python -m tests.benchmarks.learning [--seeds 20] [--environments E1 E2] [--learners natural tpe]
                                    [--calls 1024] [--json FILE] [--plot FILE]
"""
