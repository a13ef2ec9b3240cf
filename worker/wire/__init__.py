"""What OpenRouter says and how to say it: bodies, answers, faults, one client.

Knows nothing of the governor, the queue or Redis, and decides nothing about retries: it says what
an answer means. Another server that speaks the OpenAI dialect is understood too.
"""
