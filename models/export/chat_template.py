"""The conversation template in Jinja, for tools that know a tokenizer and nothing of this project.

Rendered and tokenised it gives the ids of `models.template.ConversationTemplate`, an image being
the text ``<image>`` where ours has the placeholder id. Two things cannot be said in Jinja: text
that spells a special token becomes that token (the processor of a model folder does not render, so
it keeps it text), and ``<image>`` is ordinary text to a tokenizer.
"""

_AFTER_HEADER = {"cambrian": "", "meta": "\n\n"}

_TEMPLATE = """\
{%- set default_system = DEFAULT_SYSTEM -%}
{%- set after_header = AFTER_HEADER -%}
{%- macro turn(role, text) -%}
{{- '<|start_header_id|>' + role + '<|end_header_id|>' + after_header + text + '<|eot_id|>' -}}
{%- endmacro -%}
{%- set offset = 1 if messages and messages[0]['role'] == 'system' else 0 -%}
{{- '<|begin_of_text|>' -}}
{%- if default_system and not offset -%}{{- turn('system', default_system) -}}{%- endif -%}
{%- for message in messages -%}
{%- set found = namespace(text='') -%}
{%- if message['content'] is string -%}
{%- set found.text = message['content'] -%}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}
{%- set found.text = '<image>' + found.text -%}
{%- elif part['type'] == 'text' -%}
{%- set found.text = found.text + part['text'] -%}
{%- else -%}
{{- raise_exception('content of type ' + part['type'] + '; expected image or text') -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- set num_images = found.text.split('<image>')|length - 1 -%}
{%- set text = found.text.replace('<image>', '')|trim if num_images or after_header
 else found.text -%}
{%- set expected = 'system' if loop.index0 < offset
 else ('user', 'assistant')[(loop.index0 - offset) % 2] -%}
{%- if message['role'] != expected -%}
{{- raise_exception('turn of ' + message['role'] + '; expected ' + expected) -}}
{%- endif -%}
{%- if num_images and expected != 'user' -%}
{{- raise_exception('an image in a turn of ' + expected + '; expected it in user turns') -}}
{%- endif -%}
{%- if not num_images and not text|trim -%}
{{- raise_exception('an empty turn of ' + expected) -}}
{%- endif -%}
{{- turn(expected, '<image>\\n' * num_images + text) -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>' + after_header -}}
{%- endif -%}
"""


def chat_template(*, system_prompt: str, style: str) -> str:
    """The Jinja text.

    Args:
        system_prompt: System text for conversations that bring none; empty for no system turn.
        style: ``cambrian`` or ``meta``, as in `models.template`.
    """
    after_header = _AFTER_HEADER[style]
    if after_header:
        system_prompt = system_prompt.strip()
    # Jinja reads the escapes of Python's ASCII literals.
    filled = _TEMPLATE.replace("AFTER_HEADER", ascii(after_header))
    return filled.replace("DEFAULT_SYSTEM", ascii(system_prompt), 1)
