"""Refuse a call that could cost more than it may, before anything is sent."""

import ossai

# A cent a day for each user, however many calls come at once.
limits = [{"scope": "user", "window": "day", "nano_usd": 10_000_000}]
with ossai.Client({"budgets": {"limits": limits}, "providers": {"openai": {"api_key": "not used"}}}) as client:
    try:
        client.complete(model="openai/gpt-4o", messages="Write a book.", max_tokens=16_000, user="ada")
    except ossai.BudgetExceededError as error:
        print("refused:", error)
        for budget in error.budgets:
            print(budget)
