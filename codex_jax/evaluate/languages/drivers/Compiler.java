import java.io.BufferedReader;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.JavaCompiler;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

/** A javac that stays: {"file": …} a line in, {"ok": …, "output": …} out; classes go to the files' folder. */
class Compiler {
    private static final List<String> OPTIONS =
            List.of("-proc:none", "-nowarn", "-Xlint:none", "-XDuseUnsharedTable=true", "-d", "/tmp", "-cp", "/kit/java/tuples.jar");

    public static void main(String[] given) throws Exception {
        PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), false, "UTF-8");
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        StandardJavaFileManager files = compiler.getStandardFileManager(null, null, StandardCharsets.UTF_8);
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Pattern named = Pattern.compile("\"file\": *\"([\\w.]+)\"");
        for (String line; (line = requests.readLine()) != null; ) {
            Matcher found = named.matcher(line);
            if (!found.find()) throw new IllegalArgumentException(line);
            StringWriter output = new StringWriter();
            var units = files.getJavaFileObjects(new File("/tmp", found.group(1)));
            boolean ok = compiler.getTask(output, files, null, OPTIONS, null, units).call();
            answers.print("{\"ok\": " + ok + ", \"output\": \"" + escaped(output.toString()) + "\"}\n");
            answers.flush();
        }
    }

    private static String escaped(String text) {
        StringBuilder found = new StringBuilder();
        for (char c : text.substring(0, Math.min(4000, text.length())).toCharArray()) {
            if (c == '"' || c == '\\') found.append('\\').append(c);
            else found.append(c < ' ' || c > '~' ? String.format("\\u%04x", (int) c) : String.valueOf(c));
        }
        return found.toString();
    }
}
