{# A feature as a model: its body is the definition's SELECT … GROUP BY … WINDOW, its config names the entity and key. #}
{% materialization feature, adapter='postgres' %}
  {% set entity, key = config.require('entity'), config.require('key') %}
  {% call statement('main') %}
    drop feature if exists {{ model.alias }};
    create entity if not exists {{ entity }} ({{ key }});
    create feature {{ model.alias }} on {{ entity }} as
    {{ sql }}
  {% endcall %}
  {{ return({'relations': []}) }}
{% endmaterialization %}

{# An event table of a query's rows: what features are declared over. #}
{% materialization event_table, adapter='postgres' %}
  {% call statement('main') %}
    drop table if exists {{ model.alias }} cascade;
    create table {{ model.alias }} ({{ config.require('columns') }}) with (event_time = '{{ config.require("event_time") }}');
    insert into {{ model.alias }} {{ sql }}
  {% endcall %}
  {{ return({'relations': [api.Relation.create(identifier=model.alias, schema=schema, database=database, type='table')]}) }}
{% endmaterialization %}
