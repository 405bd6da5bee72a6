# Renders templates of a job as a director does: ERB with trim mode '-', the spec's defaults under the given
# properties, undeclared properties dropped, null as good as unset. Only what our templates use is here.
# Usage: ruby render-template.rb JOB_DIR TEMPLATE <properties.jsonl >results.jsonl
# A result is {"text": …} or {"error": …}, one for each line of properties, as soon as it is there.
require 'erb'
require 'json'
require 'yaml'

class Properties
  Else = Struct.new(:active) do
    def else
      yield if active
    end
  end

  def initialize(declared, given)
    @values = declared.to_h do |name, about|
      value = name.split('.').inject(given) { |at, key| at.is_a?(Hash) ? at[key] : nil }
      [name, value.nil? ? about['default'] : value]
    end
  end

  def p(name, *default)
    value = @values[name]
    return value unless value.nil?
    return default.first unless default.empty?

    raise "Can't find property '#{name}'"
  end

  def if_p(name)
    value = @values[name]
    return Else.new(true) if value.nil?

    yield value
    Else.new(false)
  end

  def scope
    binding
  end
end

job, template = ARGV
declared = YAML.load_file(File.join(job, 'spec')).fetch('properties')
source = File.read(File.join(job, 'templates', template))
$stdout.sync = true
$stdin.each_line do |line|
  text = ERB.new(source, trim_mode: '-').result(Properties.new(declared, JSON.parse(line)).scope)
  puts JSON.generate(text: text)
rescue StandardError => e
  puts JSON.generate(error: e.message)
end
