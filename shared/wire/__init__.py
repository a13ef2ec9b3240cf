"""What OpenRouter says and how to say it: bodies, answers, faults, one client.

Knows nothing of the governor, the queue or Redis: workers call under the governor, and people's own
code without one. It decides nothing about retries: it says what an answer means. Another server
that speaks the OpenAI dialect is understood too.
"""
