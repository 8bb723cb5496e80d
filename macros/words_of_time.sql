{#- What SQL asks the clock or chance by, as a regular expression; `loader run` reads it here, too. -#}
{% macro words_of_time() %}\b(current_(date|time)|localtime|sysdate)|\b(getdate|now|timeofday|(clock|statement|transaction)_timestamp|age|random|gen_random_uuid|uuid_generate_v[0-9])\s*\(|\btablesample\b|'(now|today|yesterday|tomorrow)'{% endmacro %}
