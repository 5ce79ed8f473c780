// One dashboard as Grafana draws it: Grafana's own panels, tables, numbers and units, fed by Prometheus's answers.
import {
  FieldColorModeId, FieldType, createTheme, getDisplayProcessor, getFieldDisplayName, sortDataFrame,
  standardTransformers, standardTransformersRegistry, toDataFrame, transformDataFrame,
} from "@grafana/data";
import {
  BigValue, BigValueColorMode, BigValueGraphMode, BigValueTextMode, GlobalStyles, PanelChrome, Table,
  ThemeContext, TimeSeries,
} from "@grafana/ui";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const { dashboard, answers } = window.given;
const theme = createTheme({ colors: { mode: "dark" } });
const range = { from: answers.from * 1000, to: answers.to * 1000 };
const number = (text) => (text === "NaN" ? null : Number(text));

standardTransformersRegistry.setInit(() =>
  [standardTransformers.mergeTransformer, standardTransformers.organizeFieldsTransformer].map((transformation) => ({
    id: transformation.id, name: transformation.name, transformation, editor: () => null,
  })),
);

function asLegend(format, labels) {
  return (format || "").replace(/\{\{(\w+)\}\}/g, (_, name) => labels[name] ?? "");
}

// What the Prometheus data source makes of an answer
function frames(panel) {
  const found = [];
  for (const target of panel.targets) {
    const answer = answers.answers.find((one) => one.panel === panel.id && one.refId === target.refId);
    const result = answer.data.result;
    if (target.format === "table") {
      const names = [...new Set(result.flatMap((one) => Object.keys(one.metric)))].sort();
      found.push(toDataFrame({
        refId: target.refId,
        fields: [
          { name: "Time", type: FieldType.time, values: result.map((one) => one.value[0] * 1000) },
          ...names.map((name) => ({ name, type: FieldType.string, values: result.map((one) => one.metric[name] ?? "") })),
          {
            name: panel.targets.length > 1 ? `Value #${target.refId}` : "Value", type: FieldType.number,
            values: result.map((one) => number(one.value[1])),
          },
        ],
      }));
      continue;
    }
    for (const one of result) {
      const values = one.values ?? [one.value];
      found.push(toDataFrame({
        refId: target.refId,
        fields: [
          { name: "Time", type: FieldType.time, values: values.map(([time]) => time * 1000) },
          {
            name: "Value", type: FieldType.number, labels: one.metric, values: values.map(([, value]) => number(value)),
            config: { displayNameFromDS: asLegend(target.legendFormat, one.metric) || target.expr },
          },
        ],
      }));
    }
  }
  return found;
}

// Defaults and overrides of the panel, as Grafana applies them to a field
function configure(field, frame, all, panel) {
  const { defaults, overrides } = panel.fieldConfig;
  const config = { ...defaults, ...field.config, custom: { ...defaults.custom } };
  const name = getFieldDisplayName({ ...field, config: { ...field.config } }, frame, all);
  for (const { matcher, properties } of overrides ?? []) {
    if (matcher.id !== "byName" || matcher.options !== name) continue;
    for (const { id, value } of properties) {
      if (id.startsWith("custom.")) config.custom[id.slice(7)] = value;
      else config[id] = value;
    }
  }
  if (field.type !== FieldType.number && panel.type !== "table") delete config.unit;
  if (field.type === FieldType.number && !config.color) {
    const mode = panel.type === "timeseries" ? FieldColorModeId.PaletteClassic : FieldColorModeId.Thresholds;
    config.color = { mode };
  }
  const done = { ...field, config, state: { ...field.state } };
  done.display = getDisplayProcessor({ field: done, theme });
  return done;
}

function configured(list, panel) {
  let series = 0;
  return list.map((frame) => {
    const done = { ...frame };
    done.fields = frame.fields.map((field) => {
      if (field.type !== FieldType.number) return configure(field, frame, list, panel);
      const numbered = configure(field, frame, list, panel);
      numbered.state = { ...numbered.state, seriesIndex: series++ };
      numbered.display = getDisplayProcessor({ field: numbered, theme });
      return numbered;
    });
    return done;
  });
}

function Lines({ panel, width, height }) {
  const stacking = panel.fieldConfig.defaults.custom?.stacking ?? { mode: "none", group: "A" };
  const list = configured(frames(panel), panel).map((frame) => ({
    ...frame,
    fields: frame.fields.map((field) => ({
      ...field,
      config: {
        ...field.config,
        custom: {
          drawStyle: "line", lineInterpolation: "linear", axisPlacement: "auto", spanNulls: false, pointSize: 5,
          ...field.config.custom, stacking: { group: "A", ...stacking },
        },
      },
    })),
  }));
  return (
    <TimeSeries
      frames={list} width={width} height={height} timeZone="utc" theme={theme}
      timeRange={{ from: { valueOf: () => range.from }, to: { valueOf: () => range.to }, raw: range }}
      structureRev={1} legend={panel.options.legend} options={{}} tweakScale={(scale) => scale} tweakAxis={(axis) => axis}
    />
  );
}

function Figure({ panel, width, height }) {
  const list = configured(frames(panel), panel);
  const field = list[0]?.fields.find((one) => one.type === FieldType.number);
  const last = field?.values[field.values.length - 1];
  const none = last === undefined || last === null;
  const value = none
    ? { text: panel.fieldConfig.defaults.noValue, numeric: 0, color: theme.colors.text.secondary }
    : field.display(last);
  return (
    <BigValue
      width={width} height={height} value={{ ...value, title: panel.title }} theme={theme}
      colorMode={none ? BigValueColorMode.None : BigValueColorMode.Background} graphMode={BigValueGraphMode.None}
      textMode={BigValueTextMode.Value}
    />
  );
}

function Listing({ panel, width, height }) {
  const [frame, setFrame] = useState(null);
  useEffect(() => {
    const one = transformDataFrame(panel.transformations ?? [], frames(panel)).subscribe((list) => {
      let [whole] = configured(list, panel);
      const sort = panel.options.sortBy?.[0];
      const place = whole?.fields.findIndex((field) => getFieldDisplayName(field, whole) === sort?.displayName);
      if (place >= 0) whole = sortDataFrame(whole, place, sort.desc);
      setFrame(whole);
    });
    return () => one.unsubscribe();
  }, []);
  if (!frame) return null;
  return <Table data={frame} width={width} height={height} columnMinWidth={70} />;
}

function Prose({ panel }) {
  // enough of Markdown for what the dashboards say
  const text = panel.options.content
    .replace(/\[([^\]]+)\]\([^)]*\)/g, "<a href='#'>$1</a>")
    .replace(/\*\*([^*]+)\*\*/g, "<b>$1</b>").replace(/\*([^*]+)\*/g, "<i>$1</i>").replace(/`([^`]+)`/g, "<code>$1</code>");
  const items = text.split(/^\d+\. /m).filter(Boolean).map((item) => `<li>${item}</li>`).join("");
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: `<ol style="padding-left:20px">${items}</ol>` }} />;
}

const DRAWN = { timeseries: Lines, stat: Figure, table: Listing, text: Prose };

function Panel({ panel, style }) {
  const Drawn = DRAWN[panel.type];
  return (
    <div style={style}>
      <PanelChrome title={panel.title} width={style.width} height={style.height}>
        {(width, height) => <Drawn panel={panel} width={width} height={height} />}
      </PanelChrome>
    </div>
  );
}

function Dashboard() {
  const column = (window.innerWidth - 32) / 24;
  const variables = dashboard.templating.list.map((one) => `${one.label}: ${one.current?.text ?? one.query ?? ""}`);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ padding: 16, position: "relative", background: theme.colors.background.canvas, minHeight: "100vh" }}>
        <h3 style={{ margin: 0 }}>{dashboard.title}</h3>
        <p style={{ color: theme.colors.text.secondary }}>{variables.join("  ·  ")}</p>
        <div style={{ position: "relative" }}>
          {dashboard.panels.map((panel) => {
            const { x, y, w, h } = panel.gridPos;
            const style = {
              position: "absolute", left: x * column, top: y * 38, width: w * column - 8, height: h * 38 - 8,
            };
            if (panel.type === "row") return <h4 key={panel.id} style={style}>▾ {panel.title}</h4>;
            return <Panel key={panel.id} panel={panel} style={style} />;
          })}
        </div>
      </div>
    </ThemeContext.Provider>
  );
}

createRoot(document.getElementById("root")).render(<Dashboard />);
