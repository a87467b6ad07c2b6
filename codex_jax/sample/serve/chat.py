"""Chat requests: completions of a chat template's text, in the form of OpenAI's chat API."""

from collections.abc import AsyncGenerator
from typing import Any

from codex_jax import InputError
from codex_jax.sample import chat_schema
from codex_jax.sample.openai_schema import FieldError, Fields
from codex_jax.sample.serve.chat_template import ChatTemplate
from codex_jax.sample.serve.completion import Completion
from codex_jax.sample.serve.completion_request import ServerLimits
from codex_jax.sample.serve.errors import ApiError


class ChatCompletion(Completion):
    """A chat request in progress. Makes `chat.completion` objects, complete or in chunks."""

    async def complete(self) -> dict[str, Any]:
        """The response, once all samples are finished."""
        return chat_schema.to_chat(await super().complete(), self.request.logprobs or 0)

    async def stream(self) -> AsyncGenerator[dict[str, Any]]:
        """Chunks as they come."""
        begun: set[int] = set()
        chunks = super().stream()
        try:
            async for chunk in chunks:
                yield chat_schema.to_chat_chunk(chunk, begun, self.request.logprobs or 0)
        finally:
            await chunks.aclose()


def read_chat(body: Any) -> Fields:
    """The fields of a chat request's body.

    Raises:
      ApiError: 400, naming the field.
    """
    try:
        return chat_schema.parse_chat(body)
    except FieldError as error:
        raise ApiError(400, str(error), param=error.param) from None


def to_completion_body(
    fields: Fields, template: ChatTemplate, limits: ServerLimits
) -> dict[str, Any]:
    """The body of the completions request whose samples answer a chat request.

    Raises:
      ApiError: 400, the template refuses the messages, or there is none.
    """
    try:
        prompt = template.encode(fields["messages"])
    except InputError as error:
        raise ApiError(400, str(error), param="messages") from None
    context = limits.max_context or limits.max_prompt_tokens + limits.max_new_tokens
    longest = min(limits.max_new_tokens, context - len(prompt))
    return chat_schema.to_completion_body(fields, prompt, longest)
