import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * What the programs of this folder share: sections, each printed under its name and compared between two servers. A section
 * that throws prints one line "error: …" instead of its rest. With CLIENTS_SAMPLE set only sampled sections run.
 */
final class Sections {
    interface Body {
        void run() throws Exception;
    }

    private record Section(String name, boolean sample, Body body) {}

    private final List<Section> sections = new ArrayList<>();

    void add(String name, boolean sample, Body body) {
        sections.add(new Section(name, sample, body));
    }

    void run() {
        boolean sample = System.getenv("CLIENTS_SAMPLE") != null;
        for (Section s : sections) {
            if (sample && !s.sample) {
                continue;
            }
            System.out.println("== " + s.name);
            try {
                s.body.run();
            } catch (Throwable e) {
                System.out.println("error: " + error(e));
                if (System.getenv("CLIENTS_TRACE") != null) {
                    e.printStackTrace(System.out);
                }
            }
        }
    }

    static String error(Throwable e) {
        String state = e instanceof SQLException q ? q.getSQLState() : "-";
        return e.getClass().getSimpleName() + " " + state + " " + String.valueOf(e.getMessage()).split("\n")[0];
    }

    static void show(Object... values) {
        StringBuilder b = new StringBuilder(" ");
        for (Object v : values) {
            b.append(' ').append(text(v));
        }
        System.out.println(b);
    }

    /** The SQLSTATE of the error that a call throws; that it throws none is shown, too. */
    static void raises(Body body) {
        try {
            body.run();
            show("no error");
        } catch (SQLException e) {
            show(e.getClass().getSimpleName(), e.getSQLState());
        } catch (Exception e) {
            show(e.getClass().getSimpleName());
        }
    }

    static String text(Object v) {
        if (v == null) {
            return "null";
        }
        if (v instanceof byte[] b) {
            StringBuilder s = new StringBuilder("<");
            for (byte x : b) {
                s.append(String.format("%02x", x));
            }
            return s.append('>').toString();
        }
        if (v instanceof int[] a) {
            return Arrays.toString(a);
        }
        if (v instanceof long[] a) {
            return Arrays.toString(a);
        }
        if (v instanceof Object[] a) {
            List<String> l = new ArrayList<>();
            for (Object x : a) {
                l.add(text(x));
            }
            return l.toString();
        }
        if (v instanceof List<?> a) {
            return text(a.toArray());
        }
        if (v instanceof java.sql.Array a) {
            try {
                return a.getBaseTypeName() + text(a.getArray());
            } catch (SQLException e) {
                return error(e);
            }
        }
        return v instanceof String s ? "'" + s + "'" : v.getClass().getSimpleName() + "(" + v + ")";
    }

    /** All columns of all rows of a result, or those named. */
    static void rows(java.sql.ResultSet r, String... names) throws SQLException {
        try (r) {
            java.sql.ResultSetMetaData m = r.getMetaData();
            List<String> lines = new ArrayList<>();
            while (r.next()) {
                StringBuilder b = new StringBuilder(" ");
                if (names.length == 0) {
                    for (int i = 1; i <= m.getColumnCount(); i++) {
                        b.append(' ').append(text(r.getObject(i)));
                    }
                }
                for (String n : names) {
                    b.append(' ').append(text(r.getObject(n)));
                }
                lines.add(b.toString());
            }
            lines.forEach(System.out::println);
            if (lines.isEmpty()) {
                System.out.println("  (no rows)");
            }
        }
    }

    static <T extends Comparable<T>> List<T> sorted(List<T> l) {
        Collections.sort(l);
        return l;
    }
}
